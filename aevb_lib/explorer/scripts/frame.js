/* In a notebook the page of an explorer stands in a frame, which takes the height that the page has. */

if (window.frameElement) {
  new ResizeObserver(([page]) => {
    frameElement.style.height = `${Math.ceil(page.target.scrollHeight) + 24}px`;
  }).observe(document.body);
}
