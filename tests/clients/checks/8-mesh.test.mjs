// Section 8 and what section 10 says of it: nodes that come, go and die, seen through a gateway. Every check has a mesh
// of its own.
import assert from 'node:assert/strict'
import { afterEach, describe as suite, it } from 'node:test'
import { call, eventually, listen, unique } from '../lib/checks.mjs'
import { dial } from '../lib/clients.mjs'
import { conformance } from '../lib/processes.mjs'

const { CONFORMANCE_BINARY: binary, CONFORMANCE_REDIS: redis } = process.env
const describe = binary ? suite : suite.skip

// Short times, so that a death is noticed within a second.
const QUICK = { HEARTBEAT_INTERVAL: '100ms', DISTRIBUTION__TTL: '600ms', DISTRIBUTION__LINGER: '1s', DISTRIBUTION_TIMEOUT: '5s' }

let started = []
afterEach(async () => {
  const programs = started
  started = []
  await Promise.all(programs.map((program) => program.stop('SIGKILL')))
})

/** Starts nodes that share a mesh. */
function mesh(settings = {}) {
  const shared = { ...QUICK, DISTRIBUTION_NAMESPACE: unique('mesh'), ...settings }
  const node = (role) => async (own = {}) => {
    const program = await conformance(binary, redis, role, { env: { ...shared, ...own } })
    started.push(program)
    return program
  }
  return { gateway: node('gateway'), services: node('services') }
}

async function ask(gateway, path, options) {
  const response = await fetch(gateway.url + path, options)
  const text = await response.text()
  return { status: response.status, json: text ? JSON.parse(text) : undefined }
}

const health = (gateway, key = '') => ask(gateway, `/distribution/healthcheck/${key}`)
const create = (gateway, path, body) =>
  ask(gateway, path, { method: 'POST', body: JSON.stringify(body), headers: { 'Content-Type': 'application/json' } })
const served = (gateway, path = '/readonly/1') =>
  eventually(`${path} is served`, async () => (await ask(gateway, path)).status === 200)
const gone = (gateway, path) => eventually(`${path} is gone`, async () => (await ask(gateway, path)).status === 404)

async function open(gateway) {
  const socket = dial({}, gateway.url)
  await new Promise((resolve, reject) => socket.once('connect', resolve).once('connect_error', reject))
  return socket
}

describe('A service that appears', () => {
  it('is served at once, also on sockets that were open before', async () => {
    const { gateway, services } = mesh()
    const front = await gateway()
    const socket = await open(front)
    assert.equal((await call(socket, 'shout', 'messages', { text: 'a' }, {}))[0].code, 404)
    assert.equal((await ask(front, '/messages')).status, 404)
    await services()
    await served(front, '/messages')
    assert.deepEqual((await call(socket, 'shout', 'messages', { text: 'a' }, {}))[1].text, 'A')
    const heard = listen(socket, 'messages announced')
    await call(socket, 'announce', 'messages', { text: 'now' }, {})
    assert.deepEqual(await heard.first(), { text: 'now' })
  })

  it('can be used by the authentication service of the gateway', async () => {
    const { gateway, services } = mesh()
    const front = await gateway()
    await services()
    await served(front)
    const credentials = { email: 'ada@example.org', password: 'pw' }
    assert.equal((await create(front, '/users', credentials)).status, 201)
    const { status, json } = await create(front, '/authentication', { strategy: 'local', ...credentials })
    assert.deepEqual([status, json.user], [201, { email: 'ada@example.org', id: 1 }])
  })
})

describe('Health', () => {
  it('names every remote service, and not those of the gateway itself', async () => {
    const { gateway, services } = mesh()
    const front = await gateway()
    assert.deepEqual(await health(front), { status: 200, json: {} })
    await services()
    await served(front)
    const { status, json } = await health(front)
    assert.equal(status, 200)
    assert.deepEqual(Object.keys(json).sort(), [
      'api/v1/echo', 'echo', 'failures', 'hooks-order', 'messages', 'meta', 'muted', 'notes', 'orgs/:orgId/echo', 'people',
      'people-customid', 'readonly', 'secured', 'users'
    ])
    assert.ok(Object.values(json).every((up) => up === true))
  })

  it('knows the keys that apps have', async () => {
    const { gateway, services } = mesh()
    const front = await gateway()
    await services({ DISTRIBUTION_KEY: 'elsewhere' })
    await served(front)
    assert.equal((await health(front, 'elsewhere')).json.messages, true)
    const { status, json } = await health(front, 'nowhere')
    assert.deepEqual([status, json.message], [404, 'No app registered with key nowhere'])
  })

  it('is 503 with a false for each service whose last replica died', async () => {
    const { gateway, services } = mesh({ DISTRIBUTION__LINGER: '60s' })
    const front = await gateway()
    const back = await services()
    await served(front)
    await back.stop('SIGKILL')
    const { json } = await eventually('health is bad', async () => {
      const answer = await health(front)
      return answer.status === 503 && answer
    })
    assert.deepEqual([json.name, json.code, json.data.messages, json.data.users], ['Unavailable', 503, false, false])
  })
})

describe('The loss of a replica', () => {
  for (const signal of ['SIGTERM', 'SIGKILL']) {
    it(`by ${signal} leaves its services in place, and fails no read`, async () => {
      const { gateway, services } = mesh()
      const front = await gateway()
      const [one] = [await services(), await services()]
      await served(front)
      const socket = await open(front)
      let running = true
      const errors = []
      const reading = (async () => {
        for (let id = 0; running; id++) {
          const [error, seen] = await call(socket, 'get', 'readonly', id, {})
          if (error || seen.id !== id) errors.push(error ?? seen)
        }
      })()
      await one.stop(signal)
      // Longer than it takes to be known dead and forgotten.
      await new Promise((resolve) => setTimeout(resolve, 2000))
      running = false
      await reading
      assert.deepEqual(errors, [])
      const { status, json } = await health(front)
      assert.deepEqual([status, Object.keys(json).length], [200, 14])
    })
  }

  it('that was the last one takes only what nobody else has', async () => {
    const { gateway, services } = mesh()
    const front = await gateway()
    await services({ DISTRIBUTION_APP: 'some', DISTRIBUTION__SERVICES: 'messages,meta' })
    await served(front, '/meta/1')
    const all = await services({ DISTRIBUTION_APP: 'all' })
    await served(front)
    await all.stop('SIGKILL')
    await gone(front, '/readonly/1')
    for (const path of ['/meta/1', '/messages']) assert.equal((await ask(front, path)).status, 200, path)
    assert.deepEqual((await health(front)).json, { messages: true, meta: true })
    assert.equal((await create(front, '/authentication', {})).status, 401)
  })

  it('that was busy with a read leaves the read to another one', async () => {
    const { gateway, services } = mesh({ DISTRIBUTION__LINGER: '60s', DISTRIBUTION_TIMEOUT: '15s' })
    const front = await gateway()
    const first = await services()
    await served(front)
    const slow = ask(front, '/meta/slow')
    // It takes 1.5 s, so it has begun by now and is far from its end.
    await new Promise((resolve) => setTimeout(resolve, 500))
    await first.stop('SIGKILL')
    await services()
    assert.deepEqual(await slow, { status: 200, json: { id: 'slow' } })
  })

  it('is forgotten when another one comes while callers wait', async () => {
    const { gateway, services } = mesh({ DISTRIBUTION__LINGER: '60s', DISTRIBUTION_TIMEOUT: '15s' })
    const front = await gateway()
    const first = await services()
    await served(front)
    await first.stop('SIGTERM')
    const waiting = ask(front, '/readonly/7')
    await services()
    assert.deepEqual(await waiting, { status: 200, json: { id: '7' } })
    await eventually('health is good', async () => (await health(front)).status === 200)
  })
})

describe('A call that takes too long', () => {
  it('is a Timeout over both transports, and harms no other', async () => {
    const { gateway, services } = mesh({ DISTRIBUTION_TIMEOUT: '500ms' })
    const front = await gateway()
    await services()
    await served(front)
    const slow = ask(front, '/meta/slow')
    const socket = await open(front)
    const alsoSlow = call(socket, 'get', 'meta', 'slow', {})
    assert.equal((await ask(front, '/meta/quick')).status, 200)
    const { status, json } = await slow
    assert.deepEqual([status, json.name, json.className], [408, 'Timeout', 'timeout'])
    const [error] = await alsoSlow
    assert.deepEqual([error.code, error.name], [408, 'Timeout'])
  })
})

describe('Several gateways', () => {
  it('each hear every event once, whoever caused it', async () => {
    const { gateway, services } = mesh()
    const fronts = [await gateway(), await gateway()]
    await Promise.all([services(), services()])
    for (const front of fronts) await served(front, '/messages')
    const sockets = await Promise.all(fronts.map(open))
    const heard = sockets.map((socket) => listen(socket, 'api/v1/echo created'))
    const names = Array.from({ length: 20 }, (_, index) => `n${index}`)
    for (const [index, name] of names.entries()) await create(fronts[index % 2], '/api/v1/echo', { name })
    for (const each of heard) {
      await eventually('all events came', () => each.came.length >= names.length)
    }
    await new Promise((resolve) => setTimeout(resolve, 300))
    for (const each of heard) assert.deepEqual(each.came.map(({ data }) => data.name).sort(), [...names].sort())
  })
})

describe('A service that is not published', () => {
  it('is not found by a gateway', async () => {
    const { gateway, services } = mesh()
    const front = await gateway()
    await services({ DISTRIBUTION__SERVICES: '!secured,!users' })
    await served(front)
    for (const path of ['/secured', '/users']) assert.equal((await ask(front, path)).status, 404)
    const socket = await open(front)
    assert.equal((await call(socket, 'find', 'secured', {}))[0].code, 404)
  })

  it('and a method that is not, can not be called', async () => {
    const { gateway, services } = mesh()
    const front = await gateway()
    await services({ DISTRIBUTION__DISTRIBUTED_METHODS: 'find,get' })
    await served(front)
    assert.equal((await create(front, '/messages', { text: 'x' })).status, 405)
    assert.equal((await ask(front, '/messages')).status, 200)
    const socket = await open(front)
    assert.equal((await call(socket, 'shout', 'messages', { text: 'a' }, {}))[0].code, 405)
  })
})

describe('Two meshes on one Redis', () => {
  it('never see each other', async () => {
    const [one, two] = [mesh(), mesh()]
    const [front, other] = [await one.gateway(), await two.gateway()]
    await one.services()
    await served(front)
    assert.equal((await ask(other, '/readonly/1')).status, 404)
    assert.deepEqual((await health(other)).json, {})
  })
})
