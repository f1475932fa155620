// Section 3: authentication, by the official client over both transports and by hand.
import assert from 'node:assert/strict'
import { createHmac, randomUUID } from 'node:crypto'
import { before, describe, it } from 'node:test'
import { call, eventually, failsWith, failure, http, listen, unique } from '../lib/checks.mjs'
import { clients, dial, provider, socket } from '../lib/clients.mjs'

const SECRET = 'compat-secret'
const CLAIMS = { aud: 'https://yourdomain.com', iss: 'feathers' }
const base64 = (value) => Buffer.from(value).toString('base64url')

/** A token by hand, to be wrong in one respect. */
function token(claims, { secret = SECRET, alg = 'HS256', typ = 'access' } = {}) {
  const now = Math.floor(Date.now() / 1000)
  const body = `${base64(JSON.stringify({ alg, typ }))}.${base64(JSON.stringify({ iat: now, exp: now + 3600, ...CLAIMS, jti: randomUUID(), ...claims }))}`
  if (alg === 'none') return `${body}.`
  return `${body}.${createHmac({ HS256: 'sha256', HS512: 'sha512' }[alg], secret).update(body).digest('base64url')}`
}

const read = (jwt) => jwt.split('.').slice(0, 2).map((part) => JSON.parse(Buffer.from(part, 'base64url')))
const bearer = (jwt) => ({ headers: { Authorization: `Bearer ${jwt}` } })
const login = async (body) => await http('POST', '/authentication', { body })

/** A new user who can log in. */
async function someone() {
  const credentials = { email: `${unique('user')}@example.org`, password: 'correct horse' }
  const { status, json } = await http('POST', '/users', { body: { ...credentials, name: 'Ada' } })
  assert.equal(status, 201)
  const session = await login({ strategy: 'local', ...credentials })
  return { ...credentials, id: json.id, created: json, jwt: session.json.accessToken }
}

for (const name of Object.keys(clients)) {
  describe(`The authentication client over ${name}`, () => {
    let app, user
    before(async () => {
      app = await clients[name]()
      user = await someone()
    })

    it('is refused what needs a login', async () => {
      await failsWith((await clients[name]()).service('secured').find(), 401, 'NotAuthenticated', 'Not authenticated')
    })

    it('logs in by email and password', async () => {
      const result = await app.authenticate({ strategy: 'local', email: user.email, password: user.password })
      assert.deepEqual(result.user, { email: user.email, name: 'Ada', id: user.id })
      assert.equal(result.authentication.strategy, 'local')
      assert.ok(result.accessToken)
      assert.equal(await app.authentication.getAccessToken(), result.accessToken)
    })

    it('may then do what needs a login, as that user', async () => {
      const text = unique()
      const made = await app.service('secured').create({ text })
      assert.deepEqual([made.text, made.userId], [text, user.id])
      assert.deepEqual(await app.service('secured').get(made.id), made)
      assert.equal((await app.service('users').get(user.id)).email, user.email)
    })

    it('logs in by a token', async () => {
      const other = await clients[name]()
      const result = await other.authenticate({ strategy: 'jwt', accessToken: user.jwt })
      assert.equal(result.accessToken, user.jwt)
      assert.deepEqual(result.user, { email: user.email, name: 'Ada', id: user.id })
      assert.deepEqual([result.authentication.strategy, result.authentication.accessToken], ['jwt', user.jwt])
      assert.equal(result.authentication.payload.sub, String(user.id))
      assert.ok(Array.isArray(await other.service('secured').find()))
    })

    it('is refused with a wrong password', async () => {
      const other = await clients[name]()
      for (const wrong of [{ email: user.email, password: 'wrong' }, { email: 'nobody', password: 'wrong' }, { email: user.email }]) {
        await failsWith(other.authenticate({ strategy: 'local', ...wrong }), 401, 'NotAuthenticated', 'Invalid login')
      }
    })

    it('drops a stored token that is refused', async () => {
      const other = await clients[name]()
      await other.authentication.setAccessToken(token({ sub: '1' }, { secret: 'other' }))
      await failsWith(other.reAuthenticate(), 401, 'NotAuthenticated', 'invalid signature')
      assert.equal(await other.authentication.getAccessToken() ?? null, null)
    })

    it('logs out, after which what needs a login is refused', async () => {
      const result = await app.logout()
      assert.equal(result.user.id, user.id)
      await failsWith(app.service('secured').find(), 401, 'NotAuthenticated', 'Not authenticated')
      assert.equal(await app.authentication.getAccessToken() ?? null, null)
    })

    it('says over which transport the login came', async () => {
      const seen = await app.service('echo').find()
      assert.equal(seen.provider, provider(name))
    })
  })
}

describe('A token', () => {
  let user
  before(async () => { user = await someone() })

  it('has the header and the claims of Feathers and no others', () => {
    const [header, claims] = read(user.jwt)
    assert.deepEqual(header, { alg: 'HS256', typ: 'access' })
    const { iat, exp, jti, ...rest } = claims
    assert.deepEqual(rest, { ...CLAIMS, sub: String(user.id) })
    assert.equal(exp - iat, 24 * 3600)
    assert.ok(Math.abs(iat - Date.now() / 1000) < 60)
    assert.match(jti, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  })

  it('is signed with the secret', () => {
    const [header, claims, signature] = user.jwt.split('.')
    assert.equal(createHmac('sha256', SECRET).update(`${header}.${claims}`).digest('base64url'), signature)
  })

  it('is accepted when it comes from elsewhere and is right', async () => {
    assert.equal((await http('GET', '/secured', bearer(token({ sub: String(user.id) })))).status, 200)
  })

  it('is accepted whatever its typ', async () => {
    assert.equal((await http('GET', '/secured', bearer(token({ sub: String(user.id) }, { typ: 'JWT' })))).status, 200)
  })

  const now = Math.floor(Date.now() / 1000)
  const WRONG = {
    'that is none': [() => 'garbage', 'jwt malformed'],
    'that is expired': [(sub) => token({ sub, exp: now - 10 }), 'jwt expired'],
    'with another signature': [(sub) => token({ sub }, { secret: 'other' }), 'invalid signature'],
    'with another algorithm': [(sub) => token({ sub }, { alg: 'HS512' }), 'invalid algorithm'],
    'for another audience': [(sub) => token({ sub, aud: 'elsewhere' }), 'jwt audience invalid. expected: https://yourdomain.com'],
    'of another issuer': [(sub) => token({ sub, iss: 'elsewhere' }), 'jwt issuer invalid. expected: feathers']
  }
  for (const [what, [make, message]] of Object.entries(WRONG)) {
    it(`${what} is refused in the header and at a login`, async () => {
      const jwt = make(String(user.id))
      for (const answer of [await http('GET', '/secured', bearer(jwt)), await login({ strategy: 'jwt', accessToken: jwt })]) {
        assert.deepEqual([answer.status, answer.json.name, answer.json.message], [401, 'NotAuthenticated', message])
        assert.ok(answer.json.data)
      }
    })
  }

  it('without a signature is refused', async () => {
    const { status } = await http('GET', '/secured', bearer(token({ sub: String(user.id) }, { alg: 'none' })))
    assert.equal(status, 401)
  })

  it('of a user who is gone is 404', async () => {
    const gone = await someone()
    assert.equal((await http('DELETE', `/users/${gone.id}`, bearer(gone.jwt))).status, 200)
    assert.equal((await http('GET', '/secured', bearer(gone.jwt))).status, 404)
  })

  it('works with JWT as the scheme, and alone', async () => {
    for (const header of [`JWT ${user.jwt}`, `bearer ${user.jwt}`, user.jwt]) {
      assert.equal((await http('GET', '/secured', { headers: { Authorization: header } })).status, 200)
    }
  })

  it('that is not there is 401', async () => {
    for (const headers of [{}, { Authorization: 'Basic dXNlcjpwdw==' }]) {
      const { status, json } = await http('GET', '/secured', { headers })
      assert.deepEqual([status, json.message], [401, 'Not authenticated'])
    }
  })
})

describe('The authentication service', () => {
  let user
  before(async () => { user = await someone() })

  it('answers a local login with 201, a token, the payload and the user without password', async () => {
    const { status, json } = await login({ strategy: 'local', email: user.email, password: user.password })
    assert.equal(status, 201)
    assert.deepEqual(Object.keys(json).sort(), ['accessToken', 'authentication', 'user'])
    assert.deepEqual(json.authentication, { strategy: 'local', payload: read(json.accessToken)[1] })
    assert.deepEqual(json.user, { email: user.email, name: 'Ada', id: user.id })
  })

  it('answers a login by token with the same token', async () => {
    const { status, json } = await login({ strategy: 'jwt', accessToken: user.jwt })
    assert.deepEqual([status, json.accessToken], [201, user.jwt])
    assert.deepEqual(json.authentication, { strategy: 'jwt', accessToken: user.jwt, payload: read(user.jwt)[1] })
  })

  it('answers a logout with the login, and revokes nothing', async () => {
    const { status, json } = await http('DELETE', '/authentication', bearer(user.jwt))
    assert.deepEqual([status, json.accessToken, json.user.id], [200, user.jwt, user.id])
    assert.equal((await http('GET', '/secured', bearer(user.jwt))).status, 200)
  })

  it('has create and remove only', async () => {
    for (const [verb, path] of [['GET', '/authentication'], ['GET', '/authentication/1'], ['PUT', '/authentication/1'], ['PATCH', '/authentication/1']]) {
      assert.equal((await http(verb, path, { body: verb === 'GET' ? undefined : {} })).status, 405, `${verb} ${path}`)
    }
  })

  it('says which information is missing', async () => {
    const message = async (body) => {
      const { status, json } = await login(body)
      return `${status} ${json.message}`
    }
    assert.equal(await message({}), '401 Invalid authentication information (no `strategy` set)')
    assert.equal(await message({ strategy: 'other' }), '401 Invalid authentication information (strategy not allowed in authStrategies)')
    assert.equal(await message({ strategy: 'jwt' }), '401 No access token')
    assert.equal(await message({ strategy: 'local', password: 'x' }), '401 Invalid login')
  })

  it('refuses to log out another token than the one that came along', async () => {
    const { status, json } = await http('DELETE', '/authentication/other', bearer(user.jwt))
    assert.deepEqual([status, json.message], [401, 'Invalid access token'])
    assert.equal((await http('DELETE', `/authentication/${user.jwt}`, bearer(user.jwt))).status, 200)
  })

  it('refuses a logout without a token', async () => {
    const { status, json } = await http('DELETE', '/authentication')
    assert.deepEqual([status, json.message], [401, 'Invalid authentication information (no `strategy` set)'])
  })

  it('publishes no events', async () => {
    const bare = await socket()
    const created = listen(bare, 'authentication created')
    const said = listen(bare, 'messages created')
    await login({ strategy: 'local', email: user.email, password: user.password })
    const text = unique()
    await http('POST', '/messages', { body: { text } })
    await said.first((message) => message.text === text)
    assert.deepEqual(created.came, [])
  })

  it('never says a password or its hash', async () => {
    const texts = [
      (await login({ strategy: 'local', email: user.email, password: user.password })).text,
      (await login({ strategy: 'jwt', accessToken: user.jwt })).text,
      (await http('DELETE', '/authentication', bearer(user.jwt))).text
    ]
    for (const text of texts) assert.doesNotMatch(text, /password|\$2[aby]\$/)
  })
})

describe('Users', () => {
  let user
  before(async () => { user = await someone() })

  it('can be created by anyone, and have ids from 1', () => {
    assert.ok(user.id >= 1)
  })

  it('show no password to anyone outside, over either transport', async () => {
    assert.deepEqual(user.created, { email: user.email, name: 'Ada', id: user.id })
    const views = [
      await http('GET', `/users/${user.id}`, bearer(user.jwt)),
      await http('GET', '/users', bearer(user.jwt)),
      await http('PATCH', `/users/${user.id}`, { body: { name: 'Ada' }, ...bearer(user.jwt) })
    ]
    for (const { status, text } of views) {
      assert.equal(status, 200)
      assert.doesNotMatch(text, /password|\$2[aby]\$/)
    }
    const bare = await socket()
    await call(bare, 'create', 'authentication', { strategy: 'jwt', accessToken: user.jwt }, {})
    const [, seen] = await call(bare, 'get', 'users', user.id, {})
    assert.deepEqual(seen, { email: user.email, name: 'Ada', id: user.id })
  })

  it('are kept from strangers', async () => {
    const strange = [['GET', '/users'], ['GET', `/users/${user.id}`], ['PUT', `/users/${user.id}`], ['PATCH', `/users/${user.id}`], ['DELETE', `/users/${user.id}`]]
    for (const [verb, path] of strange) {
      const { status } = await http(verb, path, { body: verb === 'GET' || verb === 'DELETE' ? undefined : {} })
      assert.equal(status, 401, `${verb} ${path}`)
    }
  })

  it('send events to everyone, without the password', async () => {
    const bare = await socket()
    const created = listen(bare, 'users created')
    const patched = listen(bare, 'users patched')
    const other = await someone()
    assert.deepEqual(await created.first(({ id }) => id === other.id), { email: other.email, name: 'Ada', id: other.id })
    await http('PATCH', `/users/${other.id}`, { body: { password: 'new one' }, ...bearer(other.jwt) })
    assert.deepEqual(await patched.first(({ id }) => id === other.id), { email: other.email, name: 'Ada', id: other.id })
  })

  it('can change their password', async () => {
    const other = await someone()
    await http('PATCH', `/users/${other.id}`, { body: { password: 'new one' }, ...bearer(other.jwt) })
    assert.equal((await login({ strategy: 'local', email: other.email, password: 'new one' })).status, 201)
    assert.equal((await login({ strategy: 'local', email: other.email, password: other.password })).status, 401)
  })
})

describe('What a login leaves in params', () => {
  it('is nothing on a service that does not ask for it, over REST', async () => {
    const user = await someone()
    const { json } = await http('GET', '/echo', bearer(user.jwt))
    assert.deepEqual([json.hasUser, json.authenticated ?? false], [false, false])
    assert.deepEqual(json.authentication, { strategy: 'jwt', accessToken: user.jwt })
  })

  it('is the user on every service, over a socket', async () => {
    const user = await someone()
    const bare = await socket()
    await call(bare, 'create', 'authentication', { strategy: 'jwt', accessToken: user.jwt }, {})
    const [, seen] = await call(bare, 'find', 'echo', {})
    assert.deepEqual([seen.hasUser, seen.authentication.accessToken], [true, user.jwt])
  })
})

describe('A socket that logged in', () => {
  it('is closed when its token expires', async () => {
    const user = await someone()
    const bare = await socket({ reconnection: false })
    const reason = new Promise((resolve) => bare.once('disconnect', resolve))
    const jwt = token({ sub: String(user.id), exp: Math.floor(Date.now() / 1000) + 2 })
    const [error] = await call(bare, 'create', 'authentication', { strategy: 'jwt', accessToken: jwt }, {})
    assert.equal(error, null)
    assert.equal(await reason, 'io server disconnect')
  })

  it('logs in at the handshake by an Authorization header', async () => {
    const user = await someone()
    const bare = await socket({ extraHeaders: { Authorization: `Bearer ${user.jwt}` } })
    const [error, found] = await call(bare, 'find', 'secured', {})
    assert.equal(error, null)
    assert.ok(Array.isArray(found))
  })

  it('is refused at the handshake with a wrong token', async () => {
    const dialled = dial({ extraHeaders: { Authorization: `Bearer ${token({ sub: '1' }, { secret: 'other' })}` }, reconnection: false })
    const error = await new Promise((resolve, reject) => {
      dialled.once('connect_error', resolve).once('connect', () => reject(new Error('it was accepted')))
    })
    assert.equal(error.message, 'invalid signature')
  })

  it('stays logged in when another token is logged out', async () => {
    const [one, two] = [await someone(), await someone()]
    const bare = await socket()
    await call(bare, 'create', 'authentication', { strategy: 'jwt', accessToken: one.jwt }, {})
    await http('DELETE', '/authentication', bearer(two.jwt))
    assert.equal((await call(bare, 'find', 'secured', {}))[0], null)
  })

  it('is anonymous again after a logout', async () => {
    const user = await someone()
    const bare = await socket()
    await call(bare, 'create', 'authentication', { strategy: 'jwt', accessToken: user.jwt }, {})
    const [error, result] = await call(bare, 'remove', 'authentication', null, {})
    assert.deepEqual([error, result.user.id], [null, user.id])
    assert.equal((await call(bare, 'find', 'secured', {}))[0].message, 'Not authenticated')
    assert.equal((await call(bare, 'find', 'echo', {}))[1].hasUser, false)
  })

  it('is logged in again by the client after its connection broke', async () => {
    const user = await someone()
    const app = await clients.socketio()
    await app.authenticate({ strategy: 'jwt', accessToken: user.jwt })
    app.socket.io.engine.close()
    await eventually('the socket is connected again', () => app.socket.connected && app.socket.io.engine.readyState === 'open')
    await eventually('the client is logged in again', async () => {
      try { return await app.service('secured').find() } catch { return undefined }
    })
  })
})

describe('A login', () => {
  it('fails with a plain error in every client when the server refuses it', async () => {
    for (const connect of Object.values(clients)) {
      const app = await connect()
      const error = await failure(app.authenticate({ strategy: 'other' }))
      assert.equal(error.code, 401)
    }
  })
})
