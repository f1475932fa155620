// The document of two examples, each over two nodes, read by the tools that others use for such documents.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { promisify } from 'node:util'
import { conformance, freePort, redis, start } from '../../clients/lib/processes.mjs'

const { CONFORMANCE_BINARY, TODO_BINARY, PYTHON_BIN, SCHEMATHESIS_EXAMPLES = '4' } = process.env
const here = new URL('..', import.meta.url).pathname
const run = promisify(execFile)

/** Runs a tool; what it printed is the error of one that fails. */
async function tool(command, args, cwd) {
  try {
    const { stdout } = await run(command, args, { cwd, maxBuffer: 1 << 26, env: { ...process.env, REDOCLY_TELEMETRY: 'off', NO_COLOR: '1' } })
    return stdout
  } catch (error) {
    assert.fail(`${command} ${args.join(' ')}\n${error.stdout}\n${error.stderr}`.slice(-6000))
  }
}

/** Waits until the document of a gateway names a path. */
async function documentOf(url, path) {
  for (let left = 100; ; left -= 1) {
    const document = await (await fetch(`${url}/openapi.json`)).json()
    if (document.paths?.[path] || left === 0) return document
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

describe('OpenAPI', () => {
  const started = []
  let folder
  const gateways = {}
  let token

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'rachis-openapi-'))
    const { url, stop } = await redis()
    started.push({ stop })
    for (const [name, args, path] of [['plain', [], '/messages'], ['described', ['--described'], '/described']]) {
      const env = { DISTRIBUTION_NAMESPACE: name }
      started.push(await conformance(CONFORMANCE_BINARY, url, 'services', { env, args }))
      const gateway = await conformance(CONFORMANCE_BINARY, url, 'gateway', { env })
      started.push(gateway)
      gateways[name] = { url: gateway.url, document: await documentOf(gateway.url, path) }
    }
    const port = await freePort()
    const options = { cwd: folder, env: { DISTRIBUTION_NAMESPACE: 'todo' } }
    started.push(await start(TODO_BINARY, ['service', '--redis', url], 'serves todos', options))
    started.push(await start(TODO_BINARY, ['gateway', '--redis', url, '--port', String(port)], 'gateway on', options))
    const todo = `http://127.0.0.1:${port}`
    gateways.todo = { url: todo, document: await documentOf(todo, '/todos') }
    const login = await fetch(`${todo}/authentication`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ strategy: 'local', email: 'user@test.com', password: 'user' })
    })
    token = (await login.json()).accessToken
    for (const [name, { document }] of Object.entries(gateways)) {
      await writeFile(join(folder, `${name}.json`), JSON.stringify(document))
    }
  })

  after(async () => {
    for (const program of started.reverse()) await program.stop()
    await rm(folder, { recursive: true, force: true })
  })

  for (const name of ['plain', 'described', 'todo']) {
    test(`openapi-spec-validator accepts ${name}`, async () => {
      await tool(join(PYTHON_BIN, 'openapi-spec-validator'), [`${name}.json`], folder)
    })
    test(`redocly lint accepts ${name}`, async () => {
      await tool(join(here, 'node_modules/.bin/redocly'), ['lint', `${name}.json`], folder)
    })
  }

  test('the schemas of the services on the other node are in it', () => {
    const of = (name) => gateways[name].document.components.schemas
    assert.ok(of('todo').Todo.properties.text)
    assert.deepEqual(of('described').DescribedCreate.required, ['name'])
    assert.equal(gateways.todo.document.paths['/todos'].post.responses['401'] !== undefined, true)
  })

  for (const name of ['described', 'todo']) {
    test(`schemathesis finds nothing by any of its checks in ${name}`, async (t) => {
      const said = await tool(join(PYTHON_BIN, 'schemathesis'), [
        '--config-file', join(here, 'openapi/schemathesis.toml'), 'run', join(folder, `${name}.json`), '--url', gateways[name].url,
        '--phases', 'coverage,fuzzing,stateful', '--max-examples', SCHEMATHESIS_EXAMPLES, '--seed', '1',
        '--no-color', '--request-timeout', '10', ...(name === 'todo' ? ['-H', `Authorization: Bearer ${token}`] : [])
      ], here)
      const [, cases] = /(\d+) generated, \d+ passed/.exec(said) ?? assert.fail(said.slice(-3000))
      t.diagnostic(`${name}: ${cases} requests compared with the document`)
      assert.ok(Number(cases) > 100, said.slice(-3000))
    })
  }

  test('a client in Python that was generated from it creates, finds, changes and removes', async () => {
    const args = ['generate', '--path', 'todo.json', '--output-path', 'client', '--meta', 'none']
    await tool(join(PYTHON_BIN, 'openapi-python-client'), args, folder)
    await tool(join(PYTHON_BIN, 'python'), [join(here, 'openapi/crud.py'), folder, gateways.todo.url, token], folder)
  })
})
