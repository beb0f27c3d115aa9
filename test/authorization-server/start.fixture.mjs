// One of several processes that open one key file at the same moment: node start.fixture.mjs MODULE FILE MOMENT
const [module, file, moment] = process.argv.slice(2);
const { openSigningKey } = await import(module);
while (Date.now() < Number(moment));
process.stdout.write(openSigningKey(file).jwks.keys[0].kid);
