// What test_pages.py asks of an open page. Every function returns a list of sentences, one per problem.
window.audit = (() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const brief = (text, length = 70) => text.trim().replace(/\s+/g, " ").slice(0, length);
  const describe = (element) => {
    const name = element.tagName.toLowerCase();
    const id = element.id ? "#" + element.id : "";
    const classes = [...element.classList].slice(0, 3).map((c) => "." + c).join("");
    return `<${name}${id}${classes}> "${brief(element.textContent, 40)}"`;
  };
  const isShown = (element) =>
    element.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true }) &&
    element.getClientRects().length > 0;

  // Every formula is typeset, and no TeX is left where a reader would see it.
  function formulas() {
    const problems = [];
    for (const math of all(".math")) {
      if (!math.querySelector("mjx-container svg")) {
        problems.push(`formula not typeset: ${brief(math.textContent)}`);
      }
    }
    for (const error of all("mjx-merror, [data-mjx-error]")) {
      const reason = error.getAttribute("data-mjx-error") || error.textContent;
      problems.push(`MathJax error: ${brief(reason)} ${brief(error.closest("p, div").textContent)}`);
    }
    for (const unknown of all("mjx-container svg [fill=red]")) { // how MathJax shows what it does not know
      problems.push(`unknown macro in: ${brief(unknown.closest("p, div, li, td, figcaption").textContent)}`);
    }
    const raw = /\\\(|\\\[|\\begin\{|\$\$|\\[a-zA-Z]{2,}\{|\$[^$\s][^$\n]*\$|\{(eq|ref|cite|numref|doc)[:}]/;
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const { data, parentElement } = walker.currentNode;
      if (!parentElement.closest("pre, code, script, style, textarea, mjx-container") && raw.test(data)) {
        problems.push(`raw TeX or a raw role: ${brief(data)}`);
      }
    }
    return problems;
  }

  // Also those of the other mode, which are not loaded until they are seen.
  async function images() {
    const problems = [];
    for (const image of all("img")) {
      image.loading = "eager";
      await image.decode().catch(() => {}); // what cannot be decoded has no width
      const name = image.getAttribute("src").split("/").pop();
      if (!image.complete || !image.naturalWidth) problems.push(`image not loaded: ${name}`);
      const alt = (image.getAttribute("alt") || "").trim();
      const besideText = image.closest("a")?.innerText.trim(); // a logo beside its own words
      if (!alt && !besideText) problems.push(`image without alternative text: ${name}`);
      if (/^\S*\/\S*$|\.(png|svg|jpe?g|gif|webp)$/i.test(alt)) {
        problems.push(`alternative text is a file name: ${alt}`);
      } else if (image.closest(".cell_output") && alt.split(/\s+/).length < 5) {
        problems.push(`alternative text says too little: ${alt}`);
      }
    }
    for (const figure of all(".cell_output img")) {
      const caption = figure.closest("figure")?.querySelector("figcaption .caption-number");
      if (!caption) problems.push(`figure without a numbered caption: ${figure.alt}`);
    }
    return problems;
  }

  // Nothing sticks out of the page, and what is wider than its box can be scrolled there.
  function overflow() {
    const problems = [];
    const root = document.documentElement;
    if (root.scrollWidth > root.clientWidth) {
      problems.push(`the page scrolls sideways: ${root.scrollWidth} > ${root.clientWidth} pixels`);
    }
    const scrolls = (element) => /auto|scroll/.test(getComputedStyle(element).overflowX);
    const cuts = (element) => /hidden|clip/.test(getComputedStyle(element).overflowX);
    const outside = all(".bd-article *, .bd-article").filter((element) => {
      if (!isShown(element) || element.closest("mjx-assistive-mml, .visually-hidden, .sr-only")) return false;
      const { left, right } = element.getBoundingClientRect();
      for (let box = element.parentElement; box; box = box.parentElement) {
        if (scrolls(box) && box !== document.body && box !== root) return false;
        if (cuts(box) && box !== document.body && box !== root) {
          const frame = box.getBoundingClientRect();
          return right > frame.right + 1.5 || left < frame.left - 1.5;
        }
      }
      return right > root.clientWidth + 1 || left < -1;
    });
    for (const element of outside) {
      if (!outside.includes(element.parentElement)) problems.push(`cut off: ${describe(element)}`);
    }
    for (const box of all(".bd-article .math, .bd-article mjx-container, .bd-article pre")) {
      const style = getComputedStyle(box);
      if (/auto|scroll/.test(style.overflowY) && box.scrollHeight > box.clientHeight + 2 && box.clientHeight) {
        problems.push(`scrolls up and down in its box: ${describe(box)}`);
      }
    }
    for (const box of all(".bd-article mjx-container[display]")) {
      if (!isShown(box)) continue;
      const formula = box.querySelector("svg").getBoundingClientRect();
      for (const number of all(".eqno", box.closest("div.math"))) {
        const place = number.getBoundingClientRect();
        const frame = box.getBoundingClientRect();
        const right = scrolls(box) ? Math.min(formula.right, frame.right) : formula.right;
        const apart = place.left >= right - 1 || place.right <= formula.left || place.top >= formula.bottom ||
          place.bottom <= formula.top;
        if (!apart) problems.push(`equation number lies on its formula: ${brief(number.textContent)}`);
      }
    }
    return problems;
  }

  const tables = () => all(".pst-scrollable-table-container").filter(isShown);
  const isWide = (box) => box.scrollWidth > box.clientWidth + 1;

  // On a desk neither code nor output nor tables scroll sideways, as 126 of 322 visible cells once did: the column that
  // carries the answer is often the last.
  function desk() {
    const wide = [...all(".bd-article pre").filter(isShown), ...tables()].filter(isWide);
    const narrow = all(".cell_input pre").filter((block) => block.clientWidth && block.clientWidth < 690);
    return [
      ...wide.map((box) => `scrolls sideways: ${describe(box)}`),
      ...narrow.map((block) => `code in a box of ${block.clientWidth} pixels: ${describe(block)}`),
    ];
  }

  // On a phone tables fit, but for those that are known to scroll, and so do plots without words; the others have at
  // least this share of their designed width, since numbers at the axes once had 7.6 pixels.
  function phone(scrolling, share) {
    const problems = [];
    const wide = tables().filter(isWide);
    if (wide.length > scrolling) {
      problems.push(`${wide.length} tables scroll sideways, not ${scrolling}: ${wide.map(describe).join(", ")}`);
    }
    for (const plot of all(".plot")) {
      const image = all("img", plot).find(isShown);
      if (plot.querySelector(".wordless")) {
        if (plot.scrollWidth > plot.clientWidth) problems.push(`a plot without words scrolls: ${image.alt}`);
      } else if (image.getBoundingClientRect().width < share * image.getAttribute("width")) {
        problems.push(`letters in a plot have less than ten pixels: ${image.alt}`);
      }
    }
    return problems;
  }

  function textSize(least) {
    const small = all(".bd-article p, .bd-article li, .bd-article figcaption, .bd-article td").filter(
      (element) => isShown(element) && !element.closest("summary") && parseFloat(getComputedStyle(element).fontSize) < least,
    );
    return small.slice(0, 5).map((e) => `text of ${getComputedStyle(e).fontSize}: ${describe(e)}`);
  }

  // What the keyboard is on now: can it be seen, does it have a name, does the focus show?
  async function focus() {
    const element = document.activeElement;
    if (!element || element === document.body) return null;
    const moving = document.getAnimations().filter((animation) => animation instanceof CSSTransition);
    await Promise.allSettled(moving.map((animation) => animation.finished));
    // A link that fills a card is seen as the card, a choice that lies transparent over its label as the label.
    const area = element.matches(".sd-stretched-link") ? element.closest(".sd-card") : element.closest("label") || element;
    const { left, right, top, bottom, width, height } = area.getBoundingClientRect();
    const style = getComputedStyle(area);
    const outlined = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0;
    const labelled = element.labels?.[0]?.textContent;
    const name = element.ariaLabel || labelled || element.innerText.trim() || element.title ||
      element.textContent.trim() || element.querySelector("img")?.alt || element.placeholder || "";
    return {
      element: describe(element),
      name: brief(name),
      href: element.getAttribute("href"),
      inArticle: Boolean(element.closest(".bd-article")),
      onScreen: isShown(area) && width > 0 && height > 0 &&
        right > 0 && left < innerWidth && bottom > 0 && top < innerHeight,
      marked: outlined || style.boxShadow !== "none",
    };
  }

  // Axe takes time by the number of elements, and most of them are the words of highlighted code, thousands in few
  // styles, and the strokes of formulas. Of words that look alike the first, the middle one and the last stay elements,
  // the others become text of their block, which axe does not judge; of formulas stay empty pictures of the same size.
  // They do not come back: what else is asked of a page is asked before. Neither do the shadows of what scrolls: they
  // are gradients, before which axe leaves all colors undecided.
  function thin() {
    for (const box of all("pre, .pst-scrollable-table-container")) box.style.backgroundImage = "none";
    const grounds = new Map([[null, ""]]);
    const groundOf = (element) => { // what is painted or faded below a word, from the page up
      if (!grounds.has(element)) {
        const { backgroundColor, backgroundImage, opacity, mixBlendMode } = getComputedStyle(element);
        const layer = [backgroundColor, backgroundImage, opacity, mixBlendMode].join();
        const below = groundOf(element.parentElement);
        grounds.set(element, layer === "rgba(0, 0, 0, 0),none,1,normal" ? below : `${below}/${layer}`);
      }
      return grounds.get(element);
    };
    const hasText = (block) => [...block.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
    const isWord = (node) =>
      node.tagName === "SPAN" && !node.children.length && node.getAttributeNames().every((name) => name === "class");
    const look = (word) => {
      const style = getComputedStyle(word);
      const { color, webkitTextFillColor, webkitTextStroke, textShadow, fontSize, fontWeight } = style;
      // Axe leaves single letters and mere signs undecided: they cannot stand for longer words.
      const text = word.textContent.trim();
      const kind = [text.length > 1, /[\p{L}\p{N}]/u.test(text), isShown(word)];
      return [color, webkitTextFillColor, webkitTextStroke, textShadow, fontSize, fontWeight, kind, groundOf(word)].join();
    };
    const blocks = all("pre, .sig *").filter((block) => !hasText(block) && [...block.children].some(isWord));
    const alike = Map.groupBy(blocks.flatMap((block) => [...block.children].filter(isWord)), look);
    const others = new Set([...alike.values()].flat());
    for (const same of alike.values()) {
      for (const at of [0, same.length >> 1, same.length - 1]) others.delete(same[at]);
    }
    for (const block of blocks) {
      // All at once: a script of the theme looks through the block after each change.
      block.replaceChildren(...[...block.childNodes].map((node) => (others.has(node) ? node.textContent : node)));
      block.dataset.thinned = "";
    }
    for (const picture of all("mjx-container svg")) picture.replaceChildren();
    axe.configure({ rules: [{ id: "color-contrast", selector: ":not([data-thinned])" }] });
  }

  // Rules of WCAG 2.0 and 2.1, levels A and AA. The one exception is docutils' own markup of reference lists.
  // `about` is "all", or one half: "colors", which change with the mode, or "structure", which does not.
  async function accessibility(about) {
    const context = { include: [["html"]], exclude: [[".bd-article div.citation-list"]] };
    const tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"];
    const colors = ["color-contrast", "link-in-text-block"];
    const { violations } = await axe.run(context, {
      runOnly: about === "colors" ? { type: "rule", values: colors } : { type: "tag", values: tags },
      rules: about === "structure" ? Object.fromEntries(colors.map((id) => [id, { enabled: false }])) : {},
      resultTypes: ["violations"],
      preload: false, // it would request every style sheet again, which browsers refuse from disk
    });
    return violations.flatMap(({ id, impact, nodes }) =>
      nodes.slice(0, 4).map(({ target, failureSummary }) =>
        `axe ${id} (${impact}, ${nodes.length}×) at ${target.join(" ")}: ` +
        brief(failureSummary.split("\n").slice(1).join("; "), 160)));
  }

  return { formulas, images, overflow, desk, phone, textSize, focus, thin, accessibility };
})();
