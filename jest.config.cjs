// Tests run against lib/*.ts through swc; the addon must have been built (npm test does it).
module.exports = {
  testEnvironment: 'node',
  roots: ['<rootDir>/test'],
  testMatch: ['**/*.test.ts'],
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      { jsc: { target: 'es2022', parser: { syntax: 'typescript' } }, module: { type: 'commonjs' } },
    ],
  },
  // lib/index.ts before lib/index.mjs
  moduleFileExtensions: ['ts', 'js', 'cjs', 'mjs', 'json', 'node'],
  maxWorkers: 2,
  testTimeout: 60000,
};
