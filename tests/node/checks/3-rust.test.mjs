// JavaScript and Rust on one mesh: examples/conformance has services in Rust, and a gateway for those in JavaScript.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { feathers } from '@feathersjs/feathers'
import rest from '@feathersjs/rest-client'
import socketio from '@feathersjs/socketio-client'
import io from 'socket.io-client'
import { conformance } from '../../clients/lib/processes.mjs'
import { application, eventually } from '../lib/programs.mjs'

const namespace = 'rust'
const started = []
let gateway, app

before(async () => {
  const env = { DISTRIBUTION_NAMESPACE: namespace }
  const binary = process.env.CONFORMANCE_BINARY
  started.push(await conformance(binary, process.env.REDIS_URL, 'services', { env }))
  gateway = await conformance(binary, process.env.REDIS_URL, 'gateway', { env })
  started.push(gateway)
  app = await application({ options: { namespace, key: 'js' }, services: { 'js/notes': 'notes', 'js/echo': 'echo', 'js/failing': 'failing' } })
  started.push(app)
  await eventually('the services of Rust are known', () => app.do('has', { path: 'hooks-order' }))
  await eventually('those of JavaScript are', async () => (await fetch(`${gateway.url}/js/echo/1`)).ok)
})

after(async () => {
  for (const program of started.reverse()) await program.stop()
})

test('services of Rust have their methods, custom methods, errors and events in JavaScript', async () => {
  await app.do('listen', { path: 'messages', event: 'created' })
  await app.do('listen', { path: 'messages', event: 'announced' })
  const { id } = await app.call('messages', 'create', { text: 'from JavaScript' }, { query: { q: 1 } })
  assert.equal((await app.call('messages', 'get', id)).text, 'from JavaScript')
  assert.equal((await app.call('messages', 'shout', { text: 'loud' })).text, 'LOUD')
  await assert.rejects(app.call('messages', 'shout', { fail: true }), { code: 422, errors: { text: 'too quiet' } })
  const rejected = await app.call('failures', 'get', 'Conflict').catch((error) => error)
  assert.deepEqual([rejected.name, rejected.data], ['Conflict', { reason: 'Conflict', nested: { deep: true } }])
  await app.call('messages', 'announce', { text: 'own' })
  const heard = await eventually('both events came', async () => {
    const all = await app.do('heard')
    return all.length >= 2 && all
  })
  const created = heard.find(({ event }) => event === 'created')
  assert.deepEqual([created.data.text, created.method, created.query, created.isApp], ['from JavaScript', 'create', { q: 1 }, true])
  assert.deepEqual(heard.find(({ event }) => event === 'announced').data, { text: 'own' })
})

test('services of JavaScript are served over REST by a gateway of Rust', async () => {
  const client = feathers().configure(rest(gateway.url).fetch(fetch))
  client.use('js/notes', rest(gateway.url).fetch(fetch).service('js/notes'), { methods: ['find', 'get', 'create', 'patch', 'remove', 'shout'] })
  const notes = client.service('js/notes')
  const created = await notes.create({ text: 'by REST', secret: 'hidden' })
  assert.deepEqual(created, { id: created.id, text: 'by REST' }, 'the dispatch crosses')
  assert.equal((await notes.patch(created.id, { done: true })).done, true)
  assert.deepEqual(await notes.shout({ text: 'a' }).then(({ text, provider }) => [text, provider]), ['A', 'rest'])
  const echo = await client.service('js/echo').get('x', { query: { a: ['1', '2'] }, headers: { 'x-own': 'y' } })
  assert.deepEqual([echo.provider, echo.query, echo.headers['x-own'], echo.fromRemote], ['rest', { a: ['1', '2'] }, 'y', true])
  const reply = await fetch(`${gateway.url}/js/notes`, { method: 'POST', body: '{"text":"b"}', headers: { 'content-type': 'application/json' } })
  assert.equal(reply.headers.get('x-note'), String((await reply.json()).id), 'headers that hooks set cross')
})

test('an error of any class of JavaScript reaches clients as it is', async () => {
  const reply = await fetch(`${gateway.url}/js/failing/teapot`)
  assert.equal(reply.status, 418)
  assert.deepEqual(await reply.json(), { name: 'Teapot', message: 'short and stout', code: 418, className: 'teapot', data: { spout: true } })
})

test('services of JavaScript are served over Socket.IO, with their events', async () => {
  const socket = io(gateway.url, { transports: ['websocket'] })
  try {
    const client = feathers().configure(socketio(socket))
    const notes = client.service('js/notes')
    const heard = new Promise((resolve) => notes.once('created', resolve))
    await notes.find()
    const created = await notes.create({ text: 'by socket' })
    assert.deepEqual(await heard, created)
    assert.equal((await client.service('js/echo').get(1)).provider, 'socketio')
  } finally {
    socket.close()
  }
})

test('an idempotency key lets a create of JavaScript run once', async () => {
  const create = (text) => fetch(`${gateway.url}/js/notes`, {
    method: 'POST', body: JSON.stringify({ text }), headers: { 'content-type': 'application/json', 'idempotency-key': 'node-1' }
  }).then((reply) => reply.json())
  const [first, second] = [await create('once'), await create('once')]
  assert.equal(first.id, second.id)
  assert.equal((await create('other')).code, 422)
})
