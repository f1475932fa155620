// What goes wrong where Node.js runs a node: blocked event loops, ends of processes, signals, worker threads.
import assert from 'node:assert/strict'
import { afterEach, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { application, eventually } from '../lib/programs.mjs'

const started = []
let count = 0

const start = async (...args) => {
  started.push(await application(...args))
  return started.at(-1)
}

afterEach(async () => {
  for (const app of started.splice(0)) await app.stop('SIGKILL')
})

/** A mesh of its own: a namespace, and short times to notice deaths by. */
const mesh = () => ({ namespace: `traps-${count++}`, config: { heartbeat_interval: '300ms', ttl: '2s' } })

const known = (client, path) => eventually(`${path} is known`, () => client.do('has', { path }))

test('an event loop that blocks for 10 s beside an idle replica costs no call but the one that blocks', async () => {
  const options = { ...mesh(), timeout: 15000 }
  const services = { jobs: 'worker' }
  const replicas = [await start({ options: { ...options, key: 'jobs' }, services }), await start({ options: { ...options, key: 'jobs' }, services })]
  const client = await start({ options: { ...options, key: 'client' } })
  await known(client, 'jobs')
  await eventually('both replicas answer', async () => {
    const pids = await Promise.all(Array.from({ length: 20 }, () => client.call('jobs', 'get', 1)))
    return new Set(pids.map(({ pid }) => pid)).size === 2
  })
  const blocked = client.call('jobs', 'get', 10000, { query: { block: true } })
  const began = Date.now()
  const calls = []
  while (Date.now() - began < 9000) {
    for (let i = 0; i < 10; i++) calls.push(client.call('jobs', 'get', 1))
    await sleep(100)
  }
  const answers = await Promise.all(calls)
  const { pid } = await blocked
  const slow = answers.filter((answer) => answer.pid === pid)
  // A few may have begun there before it blocked; none waits until it goes on.
  assert.ok(slow.length < answers.length / 10, `${slow.length} of ${answers.length} by the one that blocked`)
  await eventually('it takes calls again', async () => {
    const pids = await Promise.all(Array.from({ length: 20 }, () => client.call('jobs', 'get', 1)))
    return pids.some((answer) => answer.pid === pid)
  })
  assert.equal(replicas.filter((replica) => replica.pid === pid).length, 1)
})

test('SIGTERM lets calls end, then the process, as it would have without this package', async () => {
  const options = mesh()
  const server = await start({ options: { ...options, key: 'jobs' }, services: { jobs: 'worker' } })
  const client = await start({ options: { ...options, key: 'client' } })
  await known(client, 'jobs')
  const calls = [1, 2, 3, 4, 5].map((n) => client.call('jobs', 'create', { n, ms: 1000 }))
  await eventually('all have begun', () => server.messages.filter((message) => message.began).length === 5)
  assert.deepEqual(await server.stop('SIGTERM'), { code: null, signal: 'SIGTERM' })
  assert.deepEqual((await Promise.all(calls)).map(({ n }) => n), [1, 2, 3, 4, 5])
  await eventually('the service is gone', async () => !(await client.do('has', { path: 'jobs' })))
})

test('a replica that is killed loses no call that may run twice, and says of others that nobody knows', async () => {
  const options = { ...mesh(), timeout: 60000 }
  const services = { jobs: 'worker' }
  const victim = await start({ options: { ...options, key: 'jobs' }, services })
  const client = await start({ options: { ...options, key: 'client' } })
  await known(client, 'jobs')
  const creation = client.call('jobs', 'create', { n: 1, ms: 60000 }).then(() => assert.fail('it was killed'), (error) => error)
  await eventually('it has begun', () => victim.messages.some((message) => message.began === 1))
  const reading = client.call('jobs', 'get', 5000)
  const keyed = client.call('jobs', 'create', { n: 2, ms: 5000 }, { idempotencyKey: 'once', query: {} })
  await eventually('it has begun, too', () => victim.messages.some((message) => message.began === 2))
  await victim.stop('SIGKILL')
  const heir = await start({ options: { ...options, key: 'jobs' }, services })
  assert.equal((await reading).pid, heir.pid)
  assert.equal((await keyed).pid, heir.pid)
  const error = await creation
  assert.deepEqual([error.code, error.data.outcome], [503, 'unknown'])
})

test('a process ends by itself when its application has left, and not before', async () => {
  const options = mesh()
  const app = await start({ options }, { program: 'ending.mjs' })
  const end = await app.ended
  assert.deepEqual(end, { code: 0, signal: null }, app.said)
  assert.ok(app.messages.some((message) => message.answered === 7), 'what was called was answered first')
})

test('a worker thread that is terminated leaves no member behind', async () => {
  const options = mesh()
  const client = await start({ options: { ...options, key: 'client' } })
  const app = await start({ options: { ...options, key: 'threads' } }, { program: 'threads.mjs' })
  await known(client, 'threaded')
  const call = client.call('threaded', 'get', 60000).then(() => assert.fail('its thread has ended'), (error) => error)
  await eventually('it has begun', () => app.messages.some((message) => message.began))
  app.child.send('terminate')
  await eventually('the service is gone', async () => !(await client.do('has', { path: 'threaded' })))
  assert.equal((await call).code, 503)
})

test('a lasting death of the last replica removes its services at once', async () => {
  const options = mesh()
  const server = await start({ options: { ...options, key: 'server' }, services: { echo: 'echo' } })
  const client = await start({ options: { ...options, key: 'client' } })
  await known(client, 'echo')
  await server.stop('SIGKILL')
  await eventually('the service is gone', async () => !(await client.do('has', { path: 'echo' })))
  await assert.rejects(client.call('echo', 'get', 1), { message: "Can not find service 'echo'" })
  assert.ok((await client.do('seen')).some(([event, path]) => event === 'service-removed' && path === 'echo'))
})
