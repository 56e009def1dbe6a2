define("dreams", () => el('p', {}, 'dreams'));
