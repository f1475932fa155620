// Runs every check against the example, in one process and in two, and counts.
import { readdir } from 'node:fs/promises'
import { run } from 'node:test'
import { databases } from './lib/databases.mjs'
import { conformance, redis } from './lib/processes.mjs'

const [binary, ...wanted] = process.argv.slice(2)
const folder = new URL('checks/', import.meta.url).pathname
const all = (await readdir(folder)).filter((name) => name.endsWith('.test.mjs'))
const number = (name) => Number.parseInt(name)
const files = all
  .filter((name) => wanted.length === 0 || wanted.some((start) => name.startsWith(start)))
  .sort((a, b) => number(a) - number(b) || a.localeCompare(b))

let passed = 0
let failed = 0

// How long one file of checks may take. The longest takes seconds; one that hangs must not hang the rest.
const PATIENCE = 180_000

/** Says what went wrong: the cause, not the runner's wrapping of it. */
function complain(event, form) {
  const error = event.details.error?.cause ?? event.details.error
  console.log(`FAILED (${form}) ${event.file?.slice(folder.length) ?? ''}: ${event.name}`)
  console.log(String(error?.stack ?? error).replace(/^/gm, '    '))
}

/** One run of all files, one after the other, since they share the records of one server. */
async function check(form, url, names, env = {}) {
  Object.assign(process.env, { CONFORMANCE_URL: url }, env)
  for (const name of names) {
    let [good, bad] = [0, 0]
    for await (const { type, data } of run({ files: [folder + name], concurrency: 1, timeout: PATIENCE })) {
      // A suite is no check, nor is a file, unless it broke outside of any check.
      const isCheck = data?.details?.type !== 'suite' && data?.name !== folder + name
      if (type === 'test:pass' && isCheck && !data.skip && !data.todo) good += 1
      if (type === 'test:fail' && (isCheck || bad === 0) && data.details.type !== 'suite') {
        bad += 1
        complain(data, form)
      }
    }
    if (good + bad === 0) bad += 1
    console.log(`${form}: ${name.replace('.test.mjs', '')}: ${good} of ${good + bad}`)
    passed += good
    failed += bad
  }
}

/** Waits until the gateway has found the services. */
async function found(url) {
  const deadline = Date.now() + 20000
  for (;;) {
    const response = await fetch(`${url}/hooks-order/ready`)
    await response.text()
    if (response.ok) return
    if (Date.now() > deadline) throw new Error(`the services did not appear behind ${url}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

const started = []
const keep = async (program) => {
  started.push(await program)
  return started.at(-1)
}

try {
  const server = await keep(redis())
  const isMesh = (name) => name.startsWith('8-mesh')

  const single = await keep(conformance(binary, server.url, 'both'))
  await check('one process', single.url, files.filter((name) => !isMesh(name)))
  await single.stop()

  const env = { DISTRIBUTION_NAMESPACE: 'two' }
  await keep(conformance(binary, server.url, 'services', { env }))
  const gateway = await keep(conformance(binary, server.url, 'gateway', { env }))
  await found(gateway.url)
  // Last, since those start and kill nodes of their own.
  const ordered = [...files.filter((name) => !isMesh(name)), ...files.filter(isMesh)]
  await check('two nodes', gateway.url, ordered, { CONFORMANCE_BINARY: binary, CONFORMANCE_REDIS: server.url })

  // What asks adapters, of people in a database.
  const adapters = files.filter((name) => name.startsWith('6-adapter'))
  for (const [name, open] of adapters.length > 0 ? Object.entries(databases) : []) {
    const database = await keep(open())
    const args = ['--store', database.url]
    const single = await keep(conformance(binary, server.url, 'both', { args, env: { DISTRIBUTION_NAMESPACE: name } }))
    await check(`${name}, one process`, single.url, adapters)
    await single.stop()
    const env = { DISTRIBUTION_NAMESPACE: `${name}-two` }
    const services = await keep(conformance(binary, server.url, 'services', { args, env }))
    const gateway = await keep(conformance(binary, server.url, 'gateway', { env }))
    await found(gateway.url)
    await check(`${name}, two nodes`, gateway.url, adapters)
    for (const program of [gateway, services, database]) await program.stop()
  }
} catch (error) {
  console.log(error)
  failed += 1
} finally {
  for (const program of started.reverse()) await program.stop()
}

console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
