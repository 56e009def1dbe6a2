"""The live widgets where readers meet them: a real JupyterLab, a kernel, a browser, a keyboard."""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
import torch

import aevb_lib as aevb
from aevb_lib import widgets
from aevb_lib.latents import interpolate
from aevb_lib.pretrained import load_pretrained
from tests.browser.conftest import unavailable

pytestmark = pytest.mark.browser

CELLS = (
    "import aevb_lib as aevb\n"
    "from aevb_lib import widgets\n"
    "from aevb_lib.pretrained import load_pretrained\n\n"
    "_, test = aevb.load_mnist()\n"
    'vae = load_pretrained("vae", 2)',
    "widgets.latent_explorer(vae)",
    "widgets.noise_explorer(vae, test.images[:100])",
    "widgets.interpolation_explorer(vae, test.images[35], test.images[13])",
    'from aevb_lib import explorer\n\nexplorer.embed("bound")',
)
OFFLINE = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false"}}
TOKEN = "test"

# Runs the notebook once its kernel is there; without one, JupyterLab would open a dialog.
RUN_ALL = """async () => {
    const {context} = jupyterapp.shell.currentWidget;
    await context.ready;
    await context.sessionContext.ready;
    void jupyterapp.commands.execute("notebook:run-all-cells");
}"""
# From the next key that is pressed until the picture that it leads to has been loaded.
WAIT_FOR_PICTURE = """image => {
    let start;
    addEventListener("keydown", () => { start = performance.now(); }, {once: true, capture: true});
    window.waited = new Promise(done => image.addEventListener(
        "load", () => done(performance.now() - start), {once: true}));
}"""
FITS = "body => body.scrollHeight <= innerHeight && innerHeight < body.scrollHeight + 60"
BYTES = "async image => [...new Uint8Array(await (await fetch(image.src)).arrayBuffer())]"


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[str]:
    """The address of a notebook in a JupyterLab that knows no settings, no news and no network."""
    try:
        import jupyterlab  # noqa: F401
    except ImportError:
        unavailable("no JupyterLab: pip install jupyterlab")
    folders = {name: tmp_path / name.lower() for name in ("CONFIG", "DATA", "RUNTIME")}
    overrides = folders["CONFIG"] / "labconfig" / "default_setting_overrides.json"
    overrides.parent.mkdir(parents=True)
    overrides.write_text(json.dumps(OFFLINE))
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    )
    (tmp_path / "notebooks").mkdir()
    nbformat.write(notebook, tmp_path / "notebooks" / "live.ipynb")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
        *(f"--ServerApp.port={port}", "--ServerApp.port_retries=0", "--ServerApp.ip=127.0.0.1"),
        *(f"--ServerApp.root_dir={tmp_path / 'notebooks'}", f"--IdentityProvider.token={TOKEN}"),
        *("--LabApp.news_url=None", "--LabApp.extension_manager=readonly"),
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.expose_app_in_browser=True",
    ]
    environment = {f"JUPYTER_{name}_DIR": str(folder) for name, folder in folders.items()}
    own = {name: value for name, value in os.environ.items() if name != "AEVB_BOOK"}
    log = tmp_path / "log"
    with log.open("w") as file:
        server = subprocess.Popen(
            command, env=own | environment, stdout=file, stderr=subprocess.STDOUT
        )
    try:
        address = f"http://127.0.0.1:{port}"
        wait_until_served(f"{address}/api/status?token={TOKEN}", server, log)
        yield f"{address}/lab/tree/live.ipynb?token={TOKEN}"
    finally:
        server.terminate()  # it shuts down its kernels
        try:
            server.wait(timeout=10)
        except subprocess.TimeoutExpired:
            server.kill()  # the kernels notice that their parent is gone
            server.wait()


def wait_until_served(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except OSError:
            assert server.poll() is None, f"JupyterLab stopped:\n{log.read_text()[-2000:]}"
            assert time.monotonic() < deadline, f"no JupyterLab:\n{log.read_text()[-2000:]}"
            time.sleep(0.1)
        else:
            return


class Output:
    """What a cell shows."""

    def __init__(self, page: Any, cell: int) -> None:
        self.page = page
        self.area = page.locator(".jp-Cell").nth(cell).locator(".jp-OutputArea")

    def slider(self, name: str) -> Any:
        row = self.area.locator(".widget-hslider").filter(has_text=name)
        return row.get_by_role("slider")

    def picture(self, caption: str) -> Any:
        frames = self.area.locator(".widget-vbox:has(> img)")
        return frames.filter(has=self.page.get_by_text(caption, exact=True)).locator("img")

    def png(self, caption: str) -> bytes:
        return bytes(self.picture(caption).evaluate(BYTES))

    def press(self, target: Any, key: str, caption: str) -> float:
        """Press a key, wait for the picture that it leads to, return the milliseconds between."""
        target.focus()
        self.picture(caption).evaluate(WAIT_FOR_PICTURE)
        self.page.keyboard.press(key)
        return self.page.evaluate("waited")


def test_widgets_in_jupyterlab(browser: Any, lab: str) -> None:
    context = browser.new_context(viewport={"width": 1300, "height": 1400})
    context.set_default_timeout(20_000)
    try:
        page = context.new_page()
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on(
            "request",
            lambda r: None if "//127.0.0.1:" in r.url or r.url[:5] in ("blob:", "data:")
            else problems.append(f"request outside: {r.url}"),
        )  # fmt: skip
        page.goto(lab)
        page.wait_for_function("() => window.jupyterapp?.shell.currentWidget?.context")
        page.evaluate(RUN_ALL)
        latent, noise, path = (Output(page, cell) for cell in (1, 2, 3))
        path.picture("on the way").wait_for()

        _, test = aevb.load_mnist()
        vae = load_pretrained("vae", 2).requires_grad_(False)
        decode, z = vae.decode, torch.zeros(2)
        assert latent.png("decoded") == widgets.png(decode(z))
        slider = latent.slider("z[0]")
        waits = []
        for press in range(1, 21):
            before = latent.png("decoded")
            waits.append(latent.press(slider, "ArrowRight", "decoded"))
            assert latent.png("decoded") != before
            z[0] = float(slider.get_attribute("aria-valuetext"))
            assert z[0] == pytest.approx(press * 0.06, abs=1e-4)
        assert latent.png("decoded") == widgets.png(decode(z))
        latent.press(latent.area.get_by_role("button", name="Reset"), "Enter", "decoded")
        assert latent.png("decoded") == widgets.png(decode(torch.zeros(2)))

        assert noise.png("original") == widgets.png(test.images[0])
        noise.press(noise.slider("image"), "ArrowRight", "decoded with noise")
        assert noise.png("original") == widgets.png(test.images[1])
        before = noise.png("decoded with noise")
        noise.press(noise.slider("noise"), "ArrowLeft", "decoded with noise")
        assert noise.png("decoded with noise") != before
        noise.press(noise.slider("noise"), "Home", "decoded with noise")
        assert noise.png("decoded with noise") == noise.png("decoded")

        ends = vae.encode(test.images[[35, 13]])
        path.press(path.slider("share of the way"), "End", "on the way")
        assert path.png("on the way") == widgets.png(decode(ends[1]))
        strip = widgets.png(decode(interpolate(*ends, 11)))
        assert path.png("the whole way") == strip

        page.locator(".jp-Cell").nth(4).scroll_into_view_if_needed()
        frame = page.frame_locator("iframe[title^='The evidence']")
        frame.locator('.aevb-explorer[data-state="ready"]').wait_for()
        assert frame.locator("body").evaluate(FITS), "the frame is as tall as the explorer"
        assert problems == []
    finally:
        context.close()
    median = statistics.median(waits)
    print(f"from key to picture: median {median:.0f} ms, worst {max(waits):.0f} ms of {len(waits)}")
    assert median < 300
