// Calls, errors and events between applications of two processes.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { application, eventually } from '../lib/programs.mjs'

const namespace = 'calls'
const started = []
let server, client

const start = async (...args) => {
  started.push(await application(...args))
  return started.at(-1)
}

before(async () => {
  server = await start({ options: { namespace, key: 'server' }, services: { notes: 'notes', echo: 'echo', failing: 'failing' } })
  client = await start({ options: { namespace, key: 'client' } })
  await eventually('the client knows the services', async () => {
    const known = await Promise.all(['notes', 'echo', 'failing'].map((path) => client.do('has', { path })))
    return known.every(Boolean)
  })
})

after(async () => {
  for (const app of started) await app.stop()
})

test('all methods of a service are called from another process', async () => {
  const { id } = await client.call('notes', 'create', { text: 'one' })
  assert.equal((await client.call('notes', 'get', id)).text, 'one')
  assert.equal((await client.call('notes', 'patch', id, { done: true })).done, true)
  assert.deepEqual(await client.call('notes', 'update', id, { text: 'two' }), { text: 'two', id })
  assert.deepEqual((await client.call('notes', 'find', { query: { text: 'two' } })).map((note) => note.id), [id])
  assert.equal((await client.call('notes', 'shout', { text: 'loud' })).text, 'LOUD')
  assert.equal((await client.call('notes', 'remove', id)).id, id)
  await assert.rejects(client.call('notes', 'get', id), { name: 'NotFound', code: 404 })
})

test('params travel, but for what belongs to a process', async () => {
  const params = { query: { a: ['1', null] }, provider: 'rest', user: { id: 7 }, headers: { 'x-a': ['1', '2'] }, tenant: { name: 't' }, connection: { socket: 1 } }
  assert.deepEqual(await client.call('echo', 'get', 'x', params), {
    id: 'x', query: { a: ['1', null] }, provider: 'rest', user: { id: 7 }, headers: { 'x-a': '1, 2' }, fromRemote: true, tenant: { name: 't' },
    hasConnection: false, hasProvider: true
  })
  const internal = await client.call('echo', 'get', 1, { query: {}, fromRemote: false })
  assert.deepEqual([internal.id, internal.fromRemote, internal.hasProvider], [1, true, false])
})

test('errors keep their class, code, data and errors', async () => {
  const rejected = (id) => client.call('failing', 'get', id).then(() => assert.fail(id), (error) => error)
  const { name, code, className, message, data } = await rejected('teapot')
  assert.deepEqual({ name, code, className, message, data }, { name: 'Teapot', code: 418, className: 'teapot', message: 'short and stout', data: { spout: true } })
  const conflict = await rejected('conflict')
  assert.deepEqual([conflict.code, conflict.data, conflict.errors], [409, { by: 'other' }, { name: 'is taken' }])
  assert.deepEqual([(await rejected('plain')).code, (await rejected('plain')).message], [500, 'not mine'])
  assert.equal((await rejected('text')).message, 'only text')
})

test('a result that is no JSON fails its call and no other', async () => {
  for (const id of ['circular', 'bigint']) await assert.rejects(client.call('failing', 'get', id), { code: 500 })
  assert.deepEqual(await client.call('failing', 'get', 'good'), { id: 'good' })
})

test('events bring the record and the call that caused it', async () => {
  await client.do('listen', { path: 'notes', event: 'created' })
  await client.do('listen', { path: 'notes', event: 'announced' })
  const user = { id: 3, email: 'a' }
  const { id } = await server.call('notes', 'create', { text: 'heard' }, { query: { q: 1 }, user })
  await server.do('emit', { path: 'notes', event: 'announced', data: { text: 'own' } })
  const [created, announced] = await eventually('both events came', async () => {
    const heard = await client.do('heard')
    return heard.length >= 2 && heard
  })
  assert.deepEqual(created, {
    path: 'notes', event: 'created', data: { text: 'heard', id }, method: 'create', type: 'around', given: { text: 'heard' },
    result: { text: 'heard', id }, query: { q: 1 }, user, isApp: true
  })
  assert.deepEqual([announced.data, announced.isApp], [{ text: 'own' }, true])
  assert.equal((await client.do('heard')).length, 2, 'each once')
})

test('an event shows what hooks let clients see', async () => {
  const heard = (await client.do('heard')).length
  await client.call('notes', 'create', { text: 'open', secret: 'hidden' })
  const [event] = await eventually('it came', async () => {
    const all = await client.do('heard')
    return all.length > heard && all.slice(heard)
  })
  assert.deepEqual([event.data.text, event.data.secret], ['open', undefined])
})

test('an event of a service that went and came again is heard once', async () => {
  await server.do('use', { path: 'again', kind: 'notes' })
  for (let i = 0; i < 3; i++) {
    await eventually('it came', () => client.do('has', { path: 'again' }))
    await server.do('unuse', { path: 'again' })
    await eventually('it went', async () => !(await client.do('has', { path: 'again' })))
    await server.do('use', { path: 'again', kind: 'notes' })
  }
  await eventually('it came', () => client.do('has', { path: 'again' }))
  await client.do('listen', { path: 'again', event: 'created' })
  const ofAgain = async () => (await client.do('heard')).filter(({ path }) => path === 'again').map(({ data }) => data.text)
  // The subscription follows the service.
  await eventually('events are heard', async () => {
    await server.call('again', 'create', { text: 'try' })
    return (await ofAgain()).length > 0
  })
  await server.call('again', 'create', { text: 'once' })
  await server.call('again', 'create', { text: 'last' })
  await eventually('the last is heard', async () => (await ofAgain()).includes('last'))
  assert.deepEqual((await ofAgain()).filter((text) => text !== 'try'), ['once', 'last'])
})

test('a service comes and goes while applications run', async () => {
  await server.do('use', { path: 'later', kind: 'echo' })
  await eventually('it came', () => client.do('has', { path: 'later' }))
  assert.equal((await client.call('later', 'get', 5)).id, 5)
  await server.do('unuse', { path: 'later' })
  await eventually('it went', async () => !(await client.do('has', { path: 'later' })))
  await assert.rejects(client.call('later', 'get', 5), { message: "Can not find service 'later'" })
  await server.do('use', { path: 'later', kind: 'notes' })
  await eventually('it came with other methods', async () => {
    const shouted = await client.call('later', 'shout', { text: 'a' }).catch(() => undefined)
    return shouted?.text === 'A'
  })
})
