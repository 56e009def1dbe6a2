define("noise", () => el('p', {}, 'noise'));
