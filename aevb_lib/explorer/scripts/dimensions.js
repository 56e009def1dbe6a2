define("dimensions", () => el('p', {}, 'dimensions'));
