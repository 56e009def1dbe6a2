"""Instruments that make the chapters' claims falsifiable: slips in the library, other noise."""
