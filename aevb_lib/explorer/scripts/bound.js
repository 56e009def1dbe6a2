define("bound", () => el('p', {}, 'bound'));
