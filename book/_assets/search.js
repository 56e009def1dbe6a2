/* The search page of Sphinx, with sections for results instead of pages, and nothing fetched: see book_search.py.

   Every word asked for must stand in a section, its title or the title of its page; where there is no such section, pages are found in
   whose text all of them stand. Words are compared by their stems, as Sphinx does. */
(() => {
  const WORD = /[\p{Letter}\p{Number}_]+/gu;
  const stemmer = new Stemmer();
  const stems = new Map();
  const stemOf = (word) => {
    const lower = word.toLowerCase();
    if (!stems.has(lower)) stems.set(lower, stemmer.stemWord(lower));
    return stems.get(lower);
  };

  // Whether a word of a text is the one that is asked for: of the same stem, or one that begins with it.
  const fits = (word, term) => stemOf(word) === term || (term.length > 3 && word.toLowerCase().startsWith(term));
  const count = (text, term) => (text.match(WORD) || []).filter((word) => fits(word, term)).length;

  /* The sections of a page with each term's count, the title's weighing more. */
  const weigh = ([url, page, sections], terms) =>
    sections.map(([id, title, text]) => {
      const counts = terms.map((term) => 8 * count(title, term) + count(text, term));
      return { url: `${url}#${id}`, page, title, text, counts, score: counts.reduce((sum, n) => sum + Math.log1p(n), 0) };
    });

  function find(terms, excluded) {
    const found = [];
    for (const page of SECTIONS) {
      const sections = weigh(page, terms).filter(({ text }) => !excluded.some((term) => count(text, term)));
      const inTitle = terms.map((term) => count(page[1], term) > 0);
      const whole = sections.filter(({ counts }) => counts.some(Boolean) && counts.every((n, i) => n || inTitle[i]));
      if (whole.length) found.push(...whole);
      else if (terms.every((_, i) => sections.some(({ counts }) => counts[i]))) {
        found.push({ ...sections.reduce((best, each) => (each.score > best.score ? each : best)), score: 0 });
      }
    }
    return found.sort((a, b) => b.score - a.score);
  }

  /* About 240 characters around the first place where a term stands, the terms marked. */
  function excerpt(text, terms) {
    const first = [...text.matchAll(WORD)].find(([word]) => terms.some((term) => fits(word, term)));
    const start = first && first.index > 100 ? text.indexOf(" ", first.index - 100) + 1 : 0;
    const end = text.length > start + 240 ? text.lastIndexOf(" ", start + 240) : text.length;
    const p = document.createElement("p");
    p.className = "context";
    let at = start;
    for (const { 0: word, index } of text.slice(0, end).matchAll(WORD)) {
      if (index < start || !terms.some((term) => fits(word, term))) continue;
      const mark = document.createElement("mark");
      mark.textContent = word;
      p.append(text.slice(at, index), mark);
      at = index + word.length;
    }
    p.append(text.slice(at, end), end < text.length ? " …" : "");
    if (start) p.prepend("… ");
    return p;
  }

  function item(url, words, where, context) {
    const li = document.createElement("li");
    const a = document.createElement("a");
    a.href = url;
    a.textContent = words;
    const span = document.createElement("span");
    span.textContent = where;
    li.append(a, span, context);
    return li;
  }

  // Functions and classes by their names, which Sphinx knows; each with its place on the API page.
  function definitions(query) {
    const names = query.toLowerCase().split(/[^\w.]+/).filter((name) => name.length > 2);
    const found = names.flatMap((name) => Search.performObjectSearch(name, new Set([name]))).sort((a, b) => b[4] - a[4]);
    const each = new Map(found.map((one) => [one[1], one]));
    return [...each.values()].slice(0, 5).map(([page, name, anchor, what]) => item(`${page}.html${anchor}`, name, ` (${what})`, ""));
  }

  Search.query = (query) => {
    const [, wanted, unwanted] = Search._parseQuery(query);
    const [terms, excluded] = [[...wanted], [...unwanted]];
    const found = terms.length ? find(terms, excluded) : [];
    const sections = found.map(({ url, page, title, text }) =>
      item(url, page.endsWith(title) ? page : title, page.endsWith(title) ? "" : `, in ${page}`, excerpt(text, terms)));
    Search.output.replaceChildren(...definitions(query), ...sections);
    Search.stopPulse();
    Search.title.textContent = "Search results";
    const pages = new Set(found.map(({ page }) => page)).size;
    Search.status.textContent = found.length
      ? `${found.length} section${found.length > 1 ? "s" : ""} on ${pages} page${pages > 1 ? "s" : ""}`
      : "Nothing found. Are all words spelled as in the book?";
  };
})();
