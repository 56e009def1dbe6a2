/* Paper is light: a dark page that is printed turns light before, with its figures and explorers, and dark again after. */
(() => {
  const root = document.documentElement;
  const paper = matchMedia("print");
  let aside = null;
  const begin = () => {
    if (root.dataset.theme === "light") return;
    aside = root.dataset.theme;
    root.dataset.theme = "light";
  };
  const end = () => {
    if (aside) root.dataset.theme = aside;
    aside = null;
  };
  addEventListener("beforeprint", begin);
  addEventListener("afterprint", end);
  paper.addEventListener("change", () => (paper.matches ? begin() : end()));
})();

// A plot that scrolls is reached by the keyboard; the theme sees to tables and code.
(() => {
  const reach = () => {
    for (const plot of document.querySelectorAll(".bd-article .plot")) {
      if (plot.scrollWidth > plot.clientWidth) plot.tabIndex = 0;
      else plot.removeAttribute("tabindex");
    }
  };
  addEventListener("load", reach);
  addEventListener("resize", reach);
})();
