// Section 2: Socket.IO, by the official client and by hand.
import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { call, eventually, failsWith, failure, http, listen, unique } from '../lib/checks.mjs'
import { clients, dial, socket, url } from '../lib/clients.mjs'

describe('The official Socket.IO client', () => {
  let app, echo
  before(async () => {
    app = await clients.socketio()
    echo = app.service('echo')
  })

  it('calls each of the six methods with its id, data and query', async () => {
    const query = { color: 'red' }
    const pick = ({ method, id, data, query }) => ({ method, id, data, query })
    const seen = async (sent) => pick(await sent)
    const data = { text: 'hi', nested: { list: [1, 2.5, true, null, 'ä'] } }
    assert.deepEqual(await seen(echo.find({ query })), { method: 'find', id: undefined, data: undefined, query })
    assert.deepEqual(await seen(echo.get('7', { query })), { method: 'get', id: '7', data: undefined, query })
    assert.deepEqual(await seen(echo.create(data, { query })), { method: 'create', id: undefined, data, query })
    assert.deepEqual(await seen(echo.update('7', data, { query })), { method: 'update', id: '7', data, query })
    assert.deepEqual(await seen(echo.patch('7', data, { query })), { method: 'patch', id: '7', data, query })
    assert.deepEqual(await seen(echo.remove('7', { query })), { method: 'remove', id: '7', data: undefined, query })
  })

  it('keeps the types of ids, data and queries', async () => {
    const query = { n: 1, yes: true, no: false, none: null, list: [1, '1'], deep: { a: { b: { c: { d: { e: { f: 1 } } } } } } }
    const seen = await echo.patch(7, { n: 1.5, big: 9007199254740991, text: '' }, { query })
    assert.deepEqual([seen.id, seen.data, seen.query], [7, { n: 1.5, big: 9007199254740991, text: '' }, query])
  })

  it('sends a null id for methods on many', async () => {
    assert.equal((await echo.patch(null, { a: 1 })).id, null)
    assert.equal((await echo.remove(null)).id, null)
  })

  it('calls a custom method', async () => {
    const seen = await echo.inspect({ text: 'hi' }, { query: { loud: true } })
    assert.deepEqual([seen.method, seen.data, seen.query], ['inspect', { text: 'hi' }, { loud: true }])
    assert.equal((await app.service('messages').shout({ text: 'hello' })).text, 'HELLO')
  })

  it('says that the provider is socketio', async () => {
    assert.equal((await echo.get('1')).provider, 'socketio')
  })

  it('substitutes placeholders of the path', async () => {
    const seen = await app.service('orgs/:orgId/echo').get(5, { route: { orgId: 'acme' } })
    assert.deepEqual([seen.id, seen.route], [5, { orgId: 'acme' }])
  })

  it('rebuilds an error with its class, data and errors', async () => {
    for (const [name, code] of [['BadRequest', 400], ['Conflict', 409], ['Unavailable', 503]]) {
      const error = await failsWith(app.service('failures').get(name), code, name, `failure ${name}`)
      assert.deepEqual([error.data, error.errors], [{ reason: name, nested: { deep: true } }, { field: 'invalid' }])
    }
  })

  it('receives null, zero, arrays and strings as they are', async () => {
    const meta = app.service('meta')
    assert.equal(await meta.get('null'), null)
    assert.equal(await meta.get('zero'), 0)
    assert.deepEqual(await meta.get('array'), [1, 2, 3])
    assert.equal(await meta.get('string'), 'text')
    assert.equal(await meta.create({ nothing: true }), null)
    assert.equal(await meta.remove('1'), null)
  })

  it('receives the dispatch where there is one, and no HTTP metadata', async () => {
    const meta = app.service('meta')
    assert.deepEqual(await meta.get('dispatch'), { id: 'dispatch', external: true })
    for (const id of ['status', 'redirect', 'headers']) assert.deepEqual(await meta.get(id), { id })
  })

  it('hears of what others do', async () => {
    const other = await clients.socketio()
    const created = listen(other.service('messages'), 'created')
    const text = unique()
    const made = await app.service('messages').create({ text })
    assert.deepEqual(await created.first((message) => message.text === text), made)
  })

  it('hears of what is done over REST', async () => {
    const created = listen(app.service('messages'), 'created')
    const text = unique()
    const { json } = await http('POST', '/messages', { body: { text } })
    assert.deepEqual(await created.first((message) => message.text === text), json)
  })

  it('answers many calls at once, each with its own result', async () => {
    const ids = Array.from({ length: 100 }, (_, index) => index)
    const seen = await Promise.all(ids.map((id) => echo.get(id)))
    assert.deepEqual(seen.map(({ id }) => id), ids)
  })

  it('rejects a call that takes too long when it has a timeout', async () => {
    const impatient = await clients.socketio({ ackTimeout: 200 })
    const error = await failure(impatient.service('meta').get('slow'))
    assert.match(error.message, /timed out/)
    assert.equal((await app.service('meta').get('slow')).id, 'slow')
  })

  it('has handshake headers in params', async () => {
    const special = await clients.socketio({ extraHeaders: { 'X-Compat': 'from-handshake', Authorization: 'Basic eA==' } })
    const { headers } = await special.service('echo').find()
    assert.deepEqual([headers['x-compat'], headers.authorization], ['from-handshake', 'Basic eA=='])
  })
})

describe('The transport', () => {
  it('is Engine.IO 4 at /socket.io/, with the usual intervals', async () => {
    const response = await fetch(`${url}/socket.io/?EIO=4&transport=polling`)
    const text = await response.text()
    assert.equal(response.status, 200)
    assert.equal(text[0], '0')
    const { sid, upgrades, pingInterval, pingTimeout, maxPayload } = JSON.parse(text.slice(1))
    assert.ok(sid)
    assert.deepEqual([upgrades, pingInterval, pingTimeout, maxPayload], [['websocket'], 25000, 20000, 1e6])
  })

  it('refuses Engine.IO 3', async () => {
    const response = await fetch(`${url}/socket.io/?EIO=3&transport=polling`)
    await response.text()
    assert.equal(response.status, 400)
  })

  it('works by polling alone', async () => {
    const app = await clients.socketio({ transports: ['polling'] })
    const created = listen(app.service('messages'), 'created')
    const text = unique()
    assert.equal((await app.service('messages').create({ text })).text, text)
    await created.first((message) => message.text === text)
    assert.equal(app.socket.io.engine.transport.name, 'polling')
  })

  it('upgrades from polling to a web socket', async () => {
    const app = await clients.socketio({ transports: ['polling', 'websocket'] })
    await eventually('the transport is upgraded', () => app.socket.io.engine.transport.name === 'websocket')
    assert.equal((await app.service('echo').get(1)).id, 1)
  })

  it('has the namespace / only', async () => {
    const other = dial()
    const elsewhere = other.io.socket('/elsewhere')
    elsewhere.connect()
    const error = await new Promise((resolve, reject) => {
      elsewhere.once('connect_error', resolve).once('connect', () => reject(new Error('it was accepted')))
    })
    assert.match(error.message, /namespace/i)
  })

  it('accepts connections from any origin', async () => {
    const response = await fetch(`${url}/socket.io/?EIO=4&transport=polling`, { headers: { Origin: 'https://app.example' } })
    await response.text()
    assert.equal(response.headers.get('access-control-allow-origin'), '*')
  })

  it('comes back after a disconnect', async () => {
    const app = await clients.socketio()
    app.socket.io.engine.close()
    await eventually('the socket is connected again', () => app.socket.connected && app.socket.io.engine.readyState === 'open')
    assert.equal((await app.service('echo').get(2)).id, 2)
  })
})

describe('A bare socket', () => {
  let bare
  before(async () => { bare = await socket() })

  it('gets null as the error of a call that went well', async () => {
    const answer = await call(bare, 'get', 'readonly', 5, {})
    assert.deepEqual(answer, [null, { id: 5 }])
  })

  it('may leave the query out', async () => {
    const [error, seen] = await call(bare, 'find', 'echo')
    assert.equal(error, null)
    assert.deepEqual([seen.method, seen.query], ['find', {}])
    assert.equal((await call(bare, 'create', 'echo', { a: 1 }))[1].data.a, 1)
    assert.equal((await call(bare, 'inspect', 'echo', { a: 1 }))[1].method, 'inspect')
  })

  it('gets the same error JSON as REST', async () => {
    const [error, ...rest] = await call(bare, 'get', 'failures', 'Conflict', {})
    assert.deepEqual([error, rest], [(await http('GET', '/failures/Conflict')).json, []])
  })

  it('is told of an unknown path', async () => {
    const [error] = await call(bare, 'find', 'nobody/here', {})
    assert.deepEqual([error.code, error.name, error.message], [404, 'NotFound', "Service 'nobody/here' not found"])
  })

  it('is told of a path that is no string', async () => {
    for (const path of [null, 5, { a: 1 }]) {
      const [error] = await call(bare, 'find', path, {})
      assert.deepEqual([error.code, error.message], [404, 'Invalid service path'], JSON.stringify(path))
    }
  })

  it('is told of a method that the service does not offer', async () => {
    for (const [method, ...rest] of [['create', 'readonly', {}, {}], ['shout', 'readonly', {}, {}], ['remove', 'readonly', 1, {}]]) {
      const [error] = await call(bare, method, ...rest)
      assert.deepEqual([error.code, error.name, error.message],
        [405, 'MethodNotAllowed', `Method '${method}' not allowed on service 'readonly'`])
    }
  })

  it('is told of too many arguments', async () => {
    const [error] = await call(bare, 'get', 'echo', 1, {}, 'extra')
    assert.deepEqual([error.code, error.name, error.message], [400, 'BadRequest', "Too many arguments for 'get' method"])
    assert.equal((await call(bare, 'find', 'echo', {}, 'extra'))[0].message, "Too many arguments for 'find' method")
  })

  it('may use paths with slashes at the ends and inside', async () => {
    assert.equal((await call(bare, 'get', '/api/v1/echo/', 1, {}))[1].id, 1)
    assert.deepEqual((await call(bare, 'get', 'orgs/acme/echo', 1, {}))[1].route, { orgId: 'acme' })
  })

  it('gets the bytes back that it sent', async () => {
    const bytes = Buffer.from([0, 1, 254, 255])
    const [, seen] = await call(bare, 'create', 'echo', { list: [{ bytes }], text: 'x' }, {})
    assert.deepEqual(seen.data, { list: [{ bytes }], text: 'x' })
  })

  it('runs a call that wants no acknowledgement', async () => {
    const text = unique()
    const created = listen(bare, 'messages created')
    bare.emit('create', 'messages', { text }, {})
    await created.first((message) => message.text === text)
  })

  it('gets events with one argument, named by path and event', async () => {
    const updated = listen(bare, 'messages updated')
    const [, made] = await call(bare, 'create', 'messages', { text: unique() })
    await call(bare, 'update', 'messages', made.id, { text: 'x' }, {})
    assert.deepEqual(await updated.first((message) => message.id === made.id), { id: made.id, text: 'x' })
  })

  it('gets events of a service whose path has slashes', async () => {
    const created = listen(bare, 'api/v1/echo created')
    const text = unique()
    await call(bare, 'create', 'api/v1/echo', { text }, {})
    const event = await created.first(({ data }) => data.text === text)
    assert.equal(event.method, 'create')
  })

  it('says in its errors what a service that is no Feathers error said', async () => {
    for (const [id, message] of [['plain', 'plain failure'], ['custom', 'custom failure']]) {
      assert.equal((await call(bare, 'get', 'failures', id, {}))[0].message, message)
    }
  })

  it('can not name its provider or its user', async () => {
    const liar = await socket({ auth: { token: 'x', provider: 'internal', user: { id: 1 } }, query: { provider: 'x', user: 'y' } })
    const [, seen] = await call(liar, 'find', 'echo', { provider: '', user: { id: 1 }, authenticated: true })
    assert.deepEqual([seen.provider, seen.hasUser, seen.authenticated ?? false, seen.authentication ?? null], ['socketio', false, false, null])
  })

  it('stays open after nonsense', async () => {
    bare.emit('find')
    bare.emit('create', null, null, null)
    bare.emit('get', 'echo', { $ne: 1 }, [], 7)
    bare.emit('patch', 'messages', 'x', 'text', 'query')
    assert.equal((await call(bare, 'get', 'readonly', 6, {}))[1].id, 6)
    assert.equal(bare.connected, true)
  })

  it('gets no answer of path::method events but an error at most', async () => {
    let answer
    bare.emit('echo::find', {}, (...args) => { answer = args })
    await call(bare, 'get', 'readonly', 1, {})
    assert.equal(answer?.[1], undefined)
  })
})
