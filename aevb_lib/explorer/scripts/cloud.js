define("cloud", () => el('p', {}, 'cloud'));
