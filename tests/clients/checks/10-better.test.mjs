// Section 10: where we differ from Feathers on purpose. What needs more than one process is in 8-mesh.
import assert from 'node:assert/strict'
import { before, describe } from 'node:test'
import { call, http, listen, ours as it, unique } from '../lib/checks.mjs'
import { socket } from '../lib/clients.mjs'

describe('A local login', () => {
  const credentials = { email: `${unique('user')}@example.org`, password: 'pw' }
  before(() => http('POST', '/users', { body: credentials }))
  const TRICKS = [
    { email: { $ne: null }, password: 'pw' }, { email: { $gt: '' }, password: 'pw' }, { email: [credentials.email], password: 'pw' },
    { email: credentials.email, password: { $ne: null } }, { email: credentials.email, password: ['pw'] },
    { email: true, password: 'pw' }, { email: null, password: null }, { email: 5, password: 5 }
  ]

  it('takes nothing but strings over REST', async () => {
    for (const trick of TRICKS) {
      const { status, json } = await http('POST', '/authentication', { body: { strategy: 'local', ...trick } })
      assert.deepEqual([status, json.message], [401, 'Invalid login'], JSON.stringify(trick))
    }
  })

  it('takes nothing but strings over a socket', async () => {
    const bare = await socket()
    for (const trick of TRICKS) {
      const [error] = await call(bare, 'create', 'authentication', { strategy: 'local', ...trick }, {})
      assert.deepEqual([error.code, error.message], [401, 'Invalid login'], JSON.stringify(trick))
    }
    assert.equal((await call(bare, 'find', 'echo', {}))[1].hasUser, false)
  })

  it('takes no operators out of a form', async () => {
    const body = 'strategy=local&email[$ne]=&password=pw'
    const { status, json } = await http('POST', '/authentication', { body, type: 'application/x-www-form-urlencoded' })
    assert.deepEqual([status, json.message], [401, 'Invalid login'])
  })
})

describe('A hidden field', () => {
  const mine = { email: `${unique('user')}@example.org`, password: 'pw' }
  let token
  before(async () => {
    await http('POST', '/users', { body: mine })
    token = (await http('POST', '/authentication', { body: { strategy: 'local', ...mine } })).json.accessToken
  })
  const GUESSES = [
    { password: { $gte: '$2b$10$' } }, { password: 'x' }, { $or: [{ email: 'x' }, { password: { $lt: '$2b' } }] },
    { $and: [{ $or: [{ password: { $ne: 'x' } }] }] }, { $sort: { password: 1 } }, { $select: ['password'] }, { 'password.x': 1 }
  ]

  it('can not be asked for over a socket', async () => {
    const bare = await socket({ extraHeaders: { authorization: `Bearer ${token}` } })
    for (const guess of GUESSES) {
      for (const words of [['find', 'users', guess], ['get', 'users', 1, guess], ['patch', 'users', 1, {}, guess], ['remove', 'users', null, guess]]) {
        const [error] = await call(bare, ...words)
        assert.equal(error?.code, 400, JSON.stringify(words))
      }
    }
    const [error, found] = await call(bare, 'find', 'users', { email: mine.email })
    assert.equal(error, null)
    assert.deepEqual(found.map(({ email, password }) => [email, password]), [[mine.email, undefined]])
  })

  it('can not be asked for over REST', async () => {
    for (const query of ['password[$gte]=$2b', '$sort[password]=1', '$select[]=password', '$or[0][password]=x']) {
      const { status } = await http('GET', `/users?${query}`, { headers: { authorization: `Bearer ${token}` } })
      assert.equal(status, 400, query)
    }
  })
})

describe('A 405 answer', () => {
  const allow = async (...request) => {
    const { status, headers } = await http(...request)
    assert.equal(status, 405)
    return headers.get('allow').split(/,\s*/).filter((verb) => verb !== 'OPTIONS').sort()
  }

  it('says which verbs are allowed', async () => {
    assert.deepEqual(await allow('POST', '/readonly', { body: {} }), ['GET', 'HEAD'])
    assert.deepEqual(await allow('PATCH', '/readonly/1', { body: {} }), ['GET', 'HEAD'])
    assert.deepEqual(await allow('GET', '/authentication'), ['DELETE', 'POST'])
  })

  it('says so for verbs without meaning too', async () => {
    assert.deepEqual(await allow('PROPFIND', '/messages'), ['DELETE', 'GET', 'HEAD', 'PATCH', 'POST', 'PUT'])
  })
})

describe('A query string', () => {
  it('is read whole, however many parameters and brackets it has', async () => {
    const many = Array.from({ length: 1500 }, (_, index) => `k${index}=1`).join('&')
    assert.equal(Object.keys((await http('GET', `/echo?${many}`)).json.query).length, 1500)
    const { json } = await http('GET', '/echo?a[b][c][d][e][f][g][h]=x')
    assert.deepEqual(json.query, { a: { b: { c: { d: { e: { f: { g: { h: 'x' } } } } } } } })
  })

  it('that is beyond a limit is 400 and says which', async () => {
    const { status, json } = await http('DELETE', `/messages?a${'[b]'.repeat(40)}=x`)
    assert.equal(status, 400)
    assert.match(json.message, /gateway\.query\.depth/)
  })
})

describe('A body', () => {
  it('of a type that is not read is 415, and no empty record', async () => {
    const { status, json } = await http('POST', '/messages', { body: 'hello', type: 'text/plain' })
    assert.deepEqual([status, json.name], [415, 'UnsupportedMediaType'])
    assert.match(json.message, /text\/plain/)
  })

  it('that is malformed JSON is 400', async () => {
    for (const body of ['{"a":', '{a: 1}', 'nonsense']) {
      const { status, json } = await http('POST', '/echo', { body })
      assert.deepEqual([status, json.name], [400, 'BadRequest'], body)
    }
  })

  it('that is JSON but no object or array is 400', async () => {
    for (const body of ['5', '"text"', 'null', 'true']) assert.equal((await http('POST', '/echo', { body })).status, 400, body)
  })

  it('that is too large is 413', async () => {
    const { status } = await http('POST', '/echo', { body: { text: 'x'.repeat(3 << 20) } })
    assert.equal(status, 413)
  })
})

describe('An id', () => {
  it('is percent-decoded once', async () => {
    for (const [sent, id] of [['a%20b', 'a b'], ['%C3%A4', 'ä'], ['a%252Fb', 'a%2Fb'], ['a%2Fb', 'a/b']]) {
      assert.equal((await http('GET', `/echo/${sent}`)).json.id, id, sent)
    }
  })

  it('that is no UTF-8 is 400', async () => {
    assert.equal((await http('GET', '/echo/%FF')).status, 400)
  })
})

describe('An unknown method over a socket', () => {
  it('is answered with a 405 error', async () => {
    const bare = await socket()
    for (const method of ['nonsense', 'internalOnly', 'hooks', 'setup', 'teardown', 'constructor', '__proto__', 'toString', 'emit']) {
      const [error] = await call(bare, method, 'echo', {}, {})
      assert.deepEqual([error.code, error.name], [405, 'MethodNotAllowed'], method)
    }
  })
})

describe('A logout by id without a token', () => {
  it('is refused, and no crash', async () => {
    const { status, json } = await http('DELETE', '/authentication/x')
    assert.deepEqual([status, json.name], [401, 'NotAuthenticated'])
  })
})

describe('A call over a socket', () => {
  it('names a service by its path, never a record', async () => {
    const [error] = await call(await socket(), 'find', 'messages/5', {})
    assert.deepEqual([error.code, error.message], [404, "Service 'messages/5' not found"])
  })

  it('with an id or a query that is none is refused, and not taken for one about everything', async () => {
    const bare = await socket()
    for (const args of [['remove', 'messages', null, 'text'], ['remove', 'messages', { id: 1 }, {}], ['patch', 'messages', [], {}, {}], ['get', 'messages', null, {}]]) {
      assert.equal((await call(bare, ...args))[0].code, 400, JSON.stringify(args))
    }
  })
})

describe('A method that is not published', () => {
  it('can not be called by any pretence', async () => {
    const bare = await socket()
    const pretence = { fromRemote: true, from_remote: true, provider: null, authenticated: true }
    assert.equal((await call(bare, 'internalOnly', 'echo', pretence, pretence))[0].code, 405)
    const headers = { 'X-Service-Method': 'internalOnly', fromRemote: 'true', provider: '' }
    assert.equal((await http('POST', '/echo?fromRemote=true&provider=', { body: pretence, headers })).status, 405)
  })

  it('and a service that is guarded stay closed to those who claim to be authenticated', async () => {
    const bare = await socket()
    const pretence = { authenticated: true, user: { id: 1 }, authentication: { payload: { sub: '1' } }, fromRemote: true }
    assert.equal((await call(bare, 'find', 'secured', pretence))[0].code, 401)
    assert.equal((await call(bare, 'create', 'secured', pretence, pretence))[0].code, 401)
    assert.equal((await http('GET', '/secured?authenticated=true&user[id]=1')).status, 401)
  })
})

describe('An ordinary error over a socket', () => {
  it('is a GeneralError with its message, as over REST', async () => {
    const bare = await socket()
    for (const id of ['plain', 'custom']) {
      const [error] = await call(bare, 'get', 'failures', id, {})
      assert.deepEqual(error, (await http('GET', `/failures/${id}`)).json)
      assert.equal(error.name, 'GeneralError')
    }
  })
})

describe('A create with an id that exists', () => {
  it('is a conflict, and changes nothing', async () => {
    const { json } = await http('POST', '/messages', { body: { text: 'first' } })
    assert.equal((await http('POST', '/messages', { body: { id: json.id, text: 'second' } })).status, 409)
    assert.equal((await http('GET', `/messages/${json.id}`)).json.text, 'first')
  })
})

describe('What a connection shows of itself', () => {
  it('is no secret of another one in an event', async () => {
    const bare = await socket()
    const everything = []
    bare.onAny((...args) => everything.push(JSON.stringify(args)))
    const created = listen(bare, 'users created')
    const credentials = { email: `${unique('user')}@example.org`, password: 'very-secret-password' }
    const { json } = await http('POST', '/users', { body: credentials })
    const session = await http('POST', '/authentication', { body: { strategy: 'local', ...credentials } })
    const token = session.json.accessToken
    await http('POST', '/messages', { body: { text: 'x' }, headers: { Authorization: `Bearer ${token}` } })
    await http('PATCH', `/users/${json.id}`, { body: { name: 'x' }, headers: { Authorization: `Bearer ${token}` } })
    await created.first(({ id }) => id === json.id)
    const patched = listen(bare, 'users patched')
    await http('PATCH', `/users/${json.id}`, { body: { name: 'y' }, headers: { Authorization: `Bearer ${token}` } })
    await patched.first(({ name }) => name === 'y')
    assert.ok(everything.length >= 2)
    for (const event of everything) {
      assert.ok(!event.includes(token) && !/very-secret-password|\$2[aby]\$|accessToken|authorization/i.test(event), event)
    }
  })
})
