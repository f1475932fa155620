// The types that `rachis types` writes, used with the official client: tsc takes a program that is right, and no other one.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { promisify } from 'node:util'
import { freePort, redis, start } from '../../clients/lib/processes.mjs'

const { TODO_BINARY, RACHIS_BINARY } = process.env
const here = new URL('..', import.meta.url).pathname
const run = promisify(execFile)

describe('TypeScript', () => {
  const started = []
  let folder
  let document

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'rachis-types-'))
    await cp(join(here, 'types'), folder, { recursive: true })
    await writeFile(join(folder, 'package.json'), '{ "type": "module" }')
    await symlink(join(here, 'node_modules'), join(folder, 'node_modules'))
    const { url, stop } = await redis()
    started.push({ stop })
    const port = await freePort()
    const options = { cwd: folder, env: { DISTRIBUTION_NAMESPACE: 'types' } }
    started.push(await start(TODO_BINARY, ['service', '--redis', url], 'serves todos', options))
    started.push(await start(TODO_BINARY, ['gateway', '--redis', url, '--port', String(port)], 'gateway on', options))
    for (let left = 100; left > 0 && !document?.components.schemas.Todo; left -= 1) {
      document = await (await fetch(`http://127.0.0.1:${port}/openapi.json`)).json()
    }
  })

  after(async () => {
    for (const program of started.reverse()) await program.stop()
    await rm(folder, { recursive: true, force: true })
  })

  /** What tsc says of the program with the types of a document. */
  async function compile(document) {
    await writeFile(join(folder, 'openapi.json'), JSON.stringify(document))
    await run(RACHIS_BINARY, ['types', '--from', 'openapi.json', '--out', 'services.ts'], { cwd: folder })
    const tsc = run(join(here, 'node_modules/.bin/tsc'), ['-p', '.'], { cwd: folder })
    return await tsc.then(() => '', (error) => error.stdout)
  }

  test('a program that does what the services do compiles', async () => {
    assert.equal(await compile(document), '')
    const written = await readFile(join(folder, 'services.ts'), 'utf8')
    assert.match(written, /\/\*\* Something to do\. \*\/\nexport interface Todo \{/)
  })

  test('a field that is renamed in the service is an error where it is used', async () => {
    const renamed = JSON.parse(JSON.stringify(document.components.schemas).replaceAll('"text"', '"title"'))
    const said = await compile({ ...document, components: { ...document.components, schemas: renamed } })
    assert.match(said, /Property 'text' does not exist on type 'Todo'/)
    assert.match(said, /'text' does not exist in type 'NewTodo'/)
  })

  test('every kind of schema is written as what TypeScript reads', async () => {
    const schemas = {
      Tree: { type: 'object', properties: { children: { type: 'array', items: { $ref: '#/components/schemas/Tree' } } } },
      Shape: { oneOf: [{ type: 'object', properties: { kind: { const: 'circle' }, r: { type: 'number' } }, required: ['kind', 'r'] }, { type: 'null' }] },
      Both: { allOf: [{ $ref: '#/components/schemas/Tree' }, { anyOf: [{ $ref: '#/components/schemas/Shape' }, { type: 'object' }] }] },
      Pair: { type: 'array', prefixItems: [{ type: 'string' }, { type: ['number', 'null'] }], minItems: 1, maxItems: 2 },
      Map: { type: 'object', properties: { 'a-b': { type: 'integer' } }, additionalProperties: { enum: ['x', 1, true, null] } },
      'Error': { type: 'string', description: 'Ends */ here' },
      'api.v1': false
    }
    const methods = Object.fromEntries(Object.keys(schemas).map((name) => [`take ${name}`, { data: { $ref: `#/components/schemas/${name}` } }]))
    const services = { 'a/:b': { methods, events: { "it's": {} }, openQueries: true }, '1 odd"path': { record: { $ref: '#/components/schemas/Tree' }, methods: { find: {} }, events: {}, openQueries: true, operators: { $near: { type: 'number' } } } }
    await writeFile(join(folder, 'openapi.json'), JSON.stringify({ 'x-rachis-services': services, components: { schemas } }))
    await run(RACHIS_BINARY, ['types', '--from', 'openapi.json', '--out', 'services.ts'], { cwd: folder })
    await writeFile(join(folder, 'odd.ts'), "import type { ServiceTypes } from './services.js'\nexport type Odd = ServiceTypes['1 odd\"path']\n")
    const tsc = run(join(here, 'node_modules/.bin/tsc'), ['--noEmit', '--strict', '--skipLibCheck', '--module', 'nodenext', 'odd.ts', 'services.ts'], { cwd: folder })
    await tsc.catch((error) => assert.fail(error.stdout))
  })
})
