// The package installs into an empty folder, and works from `import` and `require`.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
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
