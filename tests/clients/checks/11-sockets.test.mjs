// What sockets take and give in bulk, at their limits, and while a part of the mesh is away.
import assert from 'node:assert/strict'
import { afterEach, describe, it } from 'node:test'
import { feathers } from '@feathersjs/feathers'
import socketio from '@feathersjs/socketio-client'
import { eventually, failsWith, unique } from '../lib/checks.mjs'
import { dial, socket } from '../lib/clients.mjs'
import { conformance } from '../lib/processes.mjs'

const { CONFORMANCE_BINARY: binary, CONFORMANCE_REDIS: redis } = process.env
const TOO_LARGE = 'The message is larger than 1000000 bytes'

async function client(transports) {
  const app = feathers()
  const dialled = await socket({ transports })
  app.configure(socketio(dialled, { timeout: 120_000 }))
  app.socket = dialled
  return app
}

for (const transports of [['websocket'], ['polling'], ['polling', 'websocket']]) {
  describe(`A client by ${transports.join(' and then ')}`, () => {
    it('has each of 5,000 calls at once answered', async () => {
      const app = await client(transports)
      const calls = Array.from({ length: 5000 }, (_, number) => app.service('echo').get(number))
      const settled = await Promise.allSettled(calls)
      assert.deepEqual(settled.filter(({ status }) => status === 'rejected'), [])
      settled.forEach(({ value }, number) => assert.equal(value.id, number))
    })

    it('hears each of 1,000 events that one operation fires, in order', async () => {
      const [app, other] = [await client(transports), await client(['websocket'])]
      const batch = unique('batch')
      const heard = []
      let missed = 0
      app.service('messages').on('created', (message) => message.batch === batch && heard.push(message.number))
      app.socket.on('messages resync', () => (missed += 1))
      await other.service('messages').create(Array.from({ length: 1000 }, (_, number) => ({ batch, number })))
      await eventually('all are heard', () => heard.length === 1000)
      assert.deepEqual(heard, Array.from({ length: 1000 }, (_, number) => number))
      assert.equal(missed, 0)
    })
  })
}

it('refuses a call that is too large by 413, and the socket goes on', async () => {
  const app = await client(['websocket'])
  const { id } = app.socket
  await failsWith(app.service('echo').create({ text: 'x'.repeat(1_200_000) }), 413, 'PayloadTooLarge', TOO_LARGE)
  await failsWith(app.service('echo').create({ bytes: Buffer.alloc(1_200_000) }), 413, 'PayloadTooLarge', TOO_LARGE)
  assert.equal((await app.service('echo').get('1')).id, '1')
  assert.equal(app.socket.id, id)
})

describe('A gateway whose users are away', { skip: !binary }, () => {
  let started = []
  afterEach(async () => {
    await Promise.all(started.map((program) => program.stop('SIGKILL')))
    started = []
  })

  it('lets official clients come back by themselves as soon as they are there', async () => {
    const env = {
      HEARTBEAT_INTERVAL: '100ms',
      DISTRIBUTION__TTL: '600ms',
      DISTRIBUTION__LINGER: '1s',
      DISTRIBUTION_TIMEOUT: '1s',
      DISTRIBUTION_NAMESPACE: unique('mesh')
    }
    const start = async (role) => {
      const program = await conformance(binary, redis, role, { env })
      started.push(program)
      return program
    }
    const gateway = await start('gateway')
    const services = await start('services')
    const send = (path, body) =>
      fetch(gateway.url + path, { method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json' } })
    const user = { email: `${unique('ada')}@example.org`, password: 'secret' }
    await eventually('a user is there', async () => (await send('/users', user)).status === 201)
    const login = await (await send('/authentication', { strategy: 'local', ...user })).json()
    // Frozen, so that the user is still there afterwards.
    services.child.kill('SIGSTOP')

    for (const transports of [['websocket'], ['polling'], ['polling', 'websocket']]) {
      services.child.kill('SIGSTOP')
      const errors = []
      const dialled = dial({ transports, extraHeaders: { authorization: `Bearer ${login.accessToken}` } }, gateway.url)
      dialled.on('connect_error', (error) => errors.push(error.message))
      await new Promise((resolve) => dialled.io.once('close', resolve))
      assert.equal(dialled.connected, false)
      services.child.kill('SIGCONT')
      await eventually(`it is connected by ${transports}`, () => dialled.connected)
      assert.deepEqual(errors, [])
    }
    const refused = dial({ extraHeaders: { authorization: 'Bearer nonsense' } }, gateway.url)
    await new Promise((resolve) => refused.once('connect_error', resolve))
    assert.equal(refused.active, false)
  })
})
