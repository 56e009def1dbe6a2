define("path", () => el('p', {}, 'path'));
