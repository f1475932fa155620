// The package installs into an empty folder, and works from `import` and `require`.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'

const run = promisify(execFile)
let folder

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'rachis-package-'))
  await writeFile(join(folder, 'package.json'), '{ "name": "empty", "private": true }')
  // No compiler and no script of the package is run.
  await run('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error', process.env.RACHIS_TARBALL], { cwd: folder })
})

after(() => rm(folder, { recursive: true, force: true }))

const program = (load) => `
${load}
const server = feathers().configure(distribution({ namespace: 'package', key: 'server' }))
server.use('hello', { get: async (name) => ({ text: 'Hello, ' + name + '!' }) })
const client = feathers().configure(distribution({ namespace: 'package', key: 'client' }))
client.on('service', async ({ path }) => {
  console.log((await client.service(path).get('Ada')).text)
  await finalize(client)
  await finalize(server)
})
`

test('a program that imports it runs', async () => {
  await writeFile(join(folder, 'hello.mjs'), program(`import { feathers } from '@feathersjs/feathers'
import distribution, { finalize } from '@rachis/feathers'`))
  assert.equal((await run('node', ['hello.mjs'], { cwd: folder })).stdout, 'Hello, Ada!\n')
})

test('a program that requires it runs', async () => {
  await writeFile(join(folder, 'hello.cjs'), program(`const { feathers } = require('@feathersjs/feathers')
const distribution = require('@rachis/feathers')
const { finalize } = distribution.default`))
  assert.equal((await run('node', ['hello.cjs'], { cwd: folder })).stdout, 'Hello, Ada!\n')
})

test('it has no install script, and the version of everything else', async () => {
  const { scripts, version } = JSON.parse(await readFile(join(folder, 'node_modules/@rachis/feathers/package.json'), 'utf8'))
  assert.equal(scripts, undefined)
  assert.ok((await readFile('../../Cargo.toml', 'utf8')).includes(`\nversion = "${version}"\n`))
})

test('on a platform without a module it says which one is missing', async () => {
  const failed = await run('node', ['hello.mjs'], { cwd: folder, env: { ...process.env, RACHIS_NATIVE: '/nowhere.node' } }).then(() => assert.fail('it ran'), (error) => error)
  assert.match(failed.stderr, /no native module for \S+: neither \/nowhere.node nor the package @rachis\/feathers-\S+ can be loaded/)
})

/** Makes a package by scripts/node-package.sh, with a target folder of its own; returns its tarball. */
async function make(what, env) {
  const target = join(folder, 'target')
  const made = await run('../../scripts/node-package.sh', what, { env: { ...process.env, CARGO_TARGET_DIR: target, ...env } })
  return made.stdout.trim()
}

test('as a release has it, the module is a package of its own, which the main one takes', async () => {
  const { platform } = await import(join(folder, 'node_modules/@rachis/feathers/lib/native.js'))
  const library = join(folder, `node_modules/@rachis/feathers/prebuilt/rachis.${platform()}.node`)
  const tarballs = [await make(['--native'], { LIBRARY: library }), await make(['--main'], {})]
  const other = join(folder, 'other')
  await mkdir(other)
  await writeFile(join(other, 'package.json'), '{ "name": "other", "private": true }')
  await run('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error', ...tarballs], { cwd: other })
  const { optionalDependencies } = JSON.parse(await readFile(join(other, 'node_modules/@rachis/feathers/package.json'), 'utf8'))
  assert.ok(Object.hasOwn(optionalDependencies, `@rachis/feathers-${platform()}`), Object.keys(optionalDependencies).join())
  await writeFile(join(other, 'hello.mjs'), program(`import { feathers } from '@feathersjs/feathers'
import distribution, { finalize } from '@rachis/feathers'`))
  assert.equal((await run('node', ['hello.mjs'], { cwd: other })).stdout, 'Hello, Ada!\n')
})

test('a module that does not build is no package, although an earlier one is there', async () => {
  const earlier = join(folder, 'target/nowhere/release')
  await mkdir(earlier, { recursive: true })
  await writeFile(join(earlier, 'librachis_node.so'), 'earlier')
  const failed = await make(['--native'], { TARGET: 'nowhere', LIBRARY: '' }).then(() => assert.fail('it was made'), (error) => error)
  assert.match(failed.stderr, /the native module does not build/)
})
