// Bad options, no Redis, and calls that can not travel: a clear error or a stated outcome, and never a crash or a hang.
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { Readable } from 'node:stream'
import { feathers } from '@feathersjs/feathers'
import distribution, { initialize, finalize } from '@rachis/feathers'
import { freePort, redis } from '../../clients/lib/processes.mjs'
import { eventually } from '../lib/programs.mjs'

const apps = []
let count = 0
const make = (options, ...logs) => {
  const app = feathers().configure(distribution({ namespace: 'input', key: `input-${count++}`, log: (...line) => logs[0]?.push(line), ...options }))
  apps.push(app)
  return app
}

after(() => Promise.all(apps.map((app) => finalize(app))))

test('options of the wrong type and unknown ones are named', () => {
  for (const [options, message] of [
    [{ timeout: 'soon' }, /option 'timeout' has to be a number of milliseconds/],
    [{ services: 'users' }, /option 'services' has to be a function/],
    [{ remoteServicePath: 'x' }, /option 'remoteServicePath'/],
    [{ sync: 'yes' }, /option 'sync' has to be true or false/],
    [{ tiemout: 5 }, /'tiemout' is no option; there are app, /],
    [{ coteDelay: -2 }, /option 'coteDelay'/],
    ['app', /the options are an object/]
  ]) assert.throws(() => distribution(options), { name: 'TypeError', message })
})

test('what the node does not take is named with the place that it comes from', () => {
  assert.throws(() => feathers().configure(distribution({ config: { limits: { max_queue: 'many' } } })), /options of distribution\(\).*max_queue|max_queue.*options of distribution\(\)/s)
  assert.throws(() => feathers().configure(distribution({ redis: 'http://redis' })), /redis.url/)
  assert.throws(() => feathers().configure(distribution({ key: 'a/b' })), /key/)
})

test('a second configure is refused', () => {
  const app = make({ coteDelay: -1 })
  assert.throws(() => app.configure(distribution({})), /configured on this app already/)
})

test('finalize before joining, twice, and of a foreign app does no harm; initialize after it says why not', async () => {
  const app = make({ coteDelay: -1 })
  await Promise.all([finalize(app), finalize(app), finalize(feathers())])
  await finalize(app)
  await assert.rejects(initialize(app), /has left the mesh/)
  await assert.rejects(initialize(feathers()), /configure distribution\(\)/)
})

test('without Redis the application works alone and says why, and joins when Redis comes', async () => {
  const port = await freePort()
  const logs = []
  const app = make({ redis: `redis://127.0.0.1:${port}`, coteDelay: -1 }, logs)
  app.use('alone', { get: async (id) => ({ id }) })
  const joining = initialize(app)
  await eventually('it says so', () => logs.some(([level, text]) => level === 'warn' && /redis/i.test(text)))
  assert.deepEqual(await app.service('alone').get(1), { id: 1 })
  const server = await redis(port)
  await joining
  await finalize(app)
  await server.stop()
})

test('a wrong password is named, and printed nowhere', async () => {
  const logs = []
  const app = make({ redis: process.env.REDIS_URL.replace('//', '//user:hush-hush@'), coteDelay: -1 }, logs)
  initialize(app).catch(() => {})
  await eventually('it says so', () => logs.some(([level]) => level === 'warn' || level === 'error'))
  assert.doesNotMatch(JSON.stringify(logs), /hush-hush/)
  await finalize(app)
})

test('two apps of one process call each other, and what can not travel is refused', async () => {
  const [server, client] = [make({}), make({})]
  const found = new Promise((resolve) => client.on('service', resolve))
  server.use('both', { create: async (data) => ({ data }), get: async (id, params) => ({ params }) })
  assert.equal((await found).path, 'both')
  const both = client.service('both')
  const circle = {}
  circle.circle = circle
  for (const data of [circle, { n: 10n }, Readable.from(['x']), { file: Readable.from(['x']) }, () => {}, { body: new ReadableStream() }]) {
    await assert.rejects(both.create(data), { name: 'BadRequest', message: /can not travel to another process/ })
  }
  for (const params of [{ own: circle }, { own: 10n }, { query: { n: 10n } }, { user: circle }]) {
    await assert.rejects(both.get(1, { query: {}, ...params }), { name: 'BadRequest', message: /can not travel to another process/ })
  }
  const { params } = await both.get(1, { query: {}, log() {}, file: Readable.from(['x']), connection: circle, req: circle, kept: 1 })
  assert.deepEqual(Object.keys(params).sort(), ['deadline', 'fromRemote', 'kept', 'query'])
  const when = new Date(0)
  assert.deepEqual((await both.create({ when, bytes: Buffer.from('a') })).data, { when: when.toJSON(), bytes: { type: 'Buffer', data: [97] } }, 'as JSON has it')
})

test('a method of a reserved name is not offered, and said', async () => {
  const app = make({})
  assert.throws(() => app.use('bad', { get: async () => ({}), emit: async () => ({}) }, { methods: ['get', 'emit'] }), /emit/)
  assert.throws(() => app.use('', null), Error)
})

test('a local service hides a remote one of its path, whichever comes first', async () => {
  const [server, client] = [make({}), make({})]
  client.use('first', { get: async () => ({ from: 'client' }) })
  server.use('first', { get: async () => ({ from: 'server' }) })
  const found = new Promise((resolve) => client.on('service', ({ path }) => path === 'second' && resolve()))
  server.use('second', { get: async () => ({ from: 'server' }) })
  await found
  assert.equal((await client.service('first').get(1)).from, 'client')
  assert.equal((await client.service('second').get(1)).from, 'server')
  client.use('second', { get: async () => ({ from: 'client' }) })
  assert.equal((await client.service('second').get(1)).from, 'client')
})

test('services of odd names are services like others, and one at the path of the health check is seen by its application alone', async () => {
  const logs = []
  const [server, client] = [make({}, logs), make({})]
  server.use('distribution/healthcheck', { find: async () => ({ own: true }) })
  const names = ['constructor', 'toString', '$all', 'a/__proto__']
  for (const name of ['hasOwnProperty', '/__proto__/']) {
    assert.throws(() => server.use(name, { get: async () => ({}) }), /can not have a service at the path/)
  }
  for (const name of names) server.use(name, { get: async (id) => ({ id, name }) })
  for (const name of names) {
    await eventually(`${name} is known`, () => Object.hasOwn(client.services, name))
    assert.deepEqual(await client.service(name).get(1), { id: 1, name })
  }
  server.use('*', { get: async (id) => ({ id }) })
  await eventually('it says what is wrong with a pattern', () => logs.some(([level, text]) => level === 'error' && text.includes("'*' is not offered")))
  assert.deepEqual(await server.service('*').get(1), { id: 1 })
  assert.deepEqual(await server.service('distribution/healthcheck').find(), { own: true })
  const health = await client.service('distribution/healthcheck').find()
  assert.deepEqual(names.map((name) => health[name]), names.map(() => true))
})

test('of two apps with one path the older is called under whatever key, and the other one when it has gone', async () => {
  const logs = []
  const client = make({ remoteServicePath: ({ key, path }) => (path === 'twice' ? `${key}/${path}` : path) }, logs)
  const seen = []
  client.on('service', ({ path }) => seen.push(path))
  const [older, newer] = [make({ key: 'older' }), make({ key: 'newer' })]
  older.use('twice', { get: async () => ({ from: 'older' }) })
  await eventually('the older one is known', () => seen.includes('older/twice'))
  newer.use('twice', { get: async () => ({ from: 'newer' }) })
  await eventually('it is said that there are two', () => logs.some(([level, text]) => level === 'warn' && /two apps offer this path/.test(text)))
  assert.equal((await client.service('older/twice').get(1)).from, 'older')
  assert.equal(client.services['newer/twice'], undefined)
  await finalize(older)
  await eventually('the other one takes over', () => seen.includes('newer/twice'))
  assert.equal((await client.service('newer/twice').get(1)).from, 'newer')
  assert.equal(client.services['older/twice'], undefined)
})
