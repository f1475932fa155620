// Section 1: REST, by the three REST clients and by hand.
import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { failsWith, failure, http, unique } from '../lib/checks.mjs'
import { clients } from '../lib/clients.mjs'

for (const name of ['fetch', 'axios', 'superagent']) {
  describe(`REST through ${name}`, () => {
    let app, echo
    before(async () => {
      app = await clients[name]()
      echo = app.service('echo')
    })

    it('calls each of the six methods with its id, data and query', async () => {
      const query = { color: 'red' }
      const pick = ({ method, id, data, query }) => ({ method, id, data, query })
      const seen = async (call) => pick(await call)
      const data = { text: 'hi', nested: { list: [1, 2.5, true, null, 'ä'] } }
      assert.deepEqual(await seen(echo.find({ query })), { method: 'find', id: undefined, data: undefined, query })
      assert.deepEqual(await seen(echo.get('7', { query })), { method: 'get', id: '7', data: undefined, query })
      assert.deepEqual(await seen(echo.create(data, { query })), { method: 'create', id: undefined, data, query })
      assert.deepEqual(await seen(echo.update('7', data, { query })), { method: 'update', id: '7', data, query })
      assert.deepEqual(await seen(echo.patch('7', data, { query })), { method: 'patch', id: '7', data, query })
      assert.deepEqual(await seen(echo.remove('7', { query })), { method: 'remove', id: '7', data: undefined, query })
    })

    it('sends a null id for methods on many', async () => {
      assert.equal((await echo.patch(null, { a: 1 })).id, null)
      assert.equal((await echo.update(null, { a: 1 })).id, null)
      assert.equal((await echo.remove(null)).id, null)
    })

    it('calls a custom method', async () => {
      const seen = await echo.inspect({ text: 'hi' }, { query: { loud: 'yes' } })
      assert.deepEqual([seen.method, seen.data, seen.query], ['inspect', { text: 'hi' }, { loud: 'yes' }])
      assert.equal((await app.service('messages').shout({ text: 'hello' })).text, 'HELLO')
    })

    it('says that the provider is rest', async () => {
      assert.equal((await echo.get('1')).provider, 'rest')
    })

    it('keeps the structure of a nested query, its values being strings', async () => {
      const query = { age: { $gt: 5, $in: [1, 2] }, $or: [{ a: 'x' }, { b: { c: 'y z' } }], $sort: { name: -1 } }
      assert.deepEqual((await echo.find({ query })).query, {
        age: { $gt: '5', $in: ['1', '2'] }, $or: [{ a: 'x' }, { b: { c: 'y z' } }], $sort: { name: '-1' }
      })
    })

    it('keeps more than twenty array elements an array', async () => {
      const $in = Array.from({ length: 30 }, (_, index) => `n${index}`)
      assert.deepEqual((await echo.find({ query: { name: { $in } } })).query.name.$in, $in)
    })

    it('sends the headers of a call', async () => {
      const seen = await echo.find({ headers: { 'X-Compat': 'custom' } })
      assert.equal(seen.headers['x-compat'], 'custom')
    })

    it('substitutes placeholders of the path', async () => {
      const seen = await app.service('orgs/:orgId/echo').get('5', { route: { orgId: 'acme' } })
      assert.deepEqual([seen.id, seen.route], ['5', { orgId: 'acme' }])
    })

    it('rebuilds an error with its class, data and errors', async () => {
      const error = await failsWith(app.service('failures').get('Conflict'), 409, 'Conflict', 'failure Conflict')
      assert.equal(error.className, 'conflict')
      assert.deepEqual(error.data, { reason: 'Conflict', nested: { deep: true } })
      assert.deepEqual(error.errors, { field: 'invalid' })
    })

    it('takes 204 for an empty answer', async () => {
      const empty = { fetch: null, axios: '', superagent: {} }[name]
      assert.deepEqual(await app.service('meta').get('null'), empty)
      assert.deepEqual(await app.service('meta').create({ nothing: true }), empty)
    })

    it('creates, changes and removes a record', async () => {
      const messages = app.service('messages')
      const text = unique()
      const made = await messages.create({ text })
      assert.deepEqual((await messages.find({ query: { text } })).data, [made])
      assert.equal((await messages.patch(made.id, { read: true })).read, true)
      assert.deepEqual(await messages.update(made.id, { text: 'new' }), { id: made.id, text: 'new' })
      assert.deepEqual(await messages.remove(made.id), { id: made.id, text: 'new' })
      await failsWith(messages.get(made.id), 404, 'NotFound', `No record found for id '${made.id}'`)
    })
  })
}

describe('The status of a REST answer', () => {
  const status = async (...request) => (await http(...request)).status

  it('is 200 for what was read, changed or removed', async () => {
    for (const [verb, path] of [['GET', '/echo'], ['GET', '/echo/1'], ['DELETE', '/echo/1'], ['DELETE', '/echo']]) {
      assert.equal(await status(verb, path), 200, `${verb} ${path}`)
    }
    for (const [verb, path] of [['PUT', '/echo/1'], ['PATCH', '/echo/1'], ['PUT', '/echo'], ['PATCH', '/echo']]) {
      assert.equal(await status(verb, path, { body: {} }), 200, `${verb} ${path}`)
    }
  })

  it('is 201 for what was created', async () => {
    assert.equal(await status('POST', '/echo', { body: {} }), 201)
  })

  it('is 200 for a custom method', async () => {
    assert.equal(await status('POST', '/echo', { body: {}, headers: { 'X-Service-Method': 'inspect' } }), 200)
  })

  it('is 204 for a falsy result, even of create', async () => {
    for (const path of ['/meta/null', '/meta/zero']) {
      const answer = await http('GET', path)
      assert.deepEqual([answer.status, answer.text], [204, ''], path)
    }
    assert.equal(await status('POST', '/meta', { body: { nothing: true } }), 204)
    assert.equal(await status('DELETE', '/meta/1'), 204)
  })

  it('is what a hook set, before anything else', async () => {
    const answer = await http('GET', '/meta/status')
    assert.deepEqual([answer.status, answer.json], [202, { id: 'status' }])
  })

  it('is 303 with an encoded location where a hook set one', async () => {
    const answer = await http('GET', '/meta/redirect')
    assert.deepEqual([answer.status, answer.headers.get('location')], [303, '/messages?name=a%20b'])
  })
})

describe('The body of a REST answer', () => {
  it('is JSON in UTF-8', async () => {
    const answer = await http('GET', '/meta/array')
    assert.match(answer.headers.get('content-type'), /^application\/json/)
    assert.deepEqual(answer.json, [1, 2, 3])
    assert.equal((await http('GET', '/meta/string')).json, 'text')
  })

  it('is the dispatch where there is one', async () => {
    assert.deepEqual((await http('GET', '/meta/dispatch')).json, { id: 'dispatch', external: true })
  })

  it('comes with the headers that a hook set', async () => {
    const answer = await http('GET', '/meta/headers')
    assert.deepEqual([answer.status, answer.headers.get('x-compat-reply')], [200, 'yes'])
  })

  it('is missing for HEAD, whose status is that of GET', async () => {
    const answer = await http('HEAD', '/meta/array')
    assert.deepEqual([answer.status, answer.text], [200, ''])
    assert.equal((await http('HEAD', '/nobody')).status, 404)
  })
})

describe('The paths of REST', () => {
  it('may have slashes at both ends', async () => {
    assert.equal((await http('GET', '/echo/')).json.method, 'find')
    assert.equal((await http('GET', '/echo/1/')).json.id, '1')
  })

  it('may have several segments', async () => {
    const { json } = await http('GET', '/api/v1/echo/9')
    assert.deepEqual([json.method, json.id, json.route], ['get', '9', {}])
  })

  it('are case-sensitive', async () => {
    assert.equal((await http('GET', '/Echo')).status, 404)
  })

  it('end at the id', async () => {
    assert.equal((await http('GET', '/echo/1/2')).status, 404)
    assert.equal((await http('GET', '/echo//1')).status, 404)
  })

  it('hold placeholders, which come as params.route and never as the id', async () => {
    const { json } = await http('GET', '/orgs/acme/echo/3')
    assert.deepEqual([json.id, json.route], ['3', { orgId: 'acme' }])
    const found = (await http('GET', '/orgs/acme/echo')).json
    assert.deepEqual([found.method, found.id, found.route], ['find', undefined, { orgId: 'acme' }])
  })

  it('ignore the id of a POST', async () => {
    const { json, status } = await http('POST', '/echo/5', { body: { a: 1 } })
    assert.deepEqual([status, json.method, json.id], [201, 'create', undefined])
  })

  it('that nobody serves are 404 and named in the error', async () => {
    const { status, json } = await http('GET', '/nobody/here?a=b', { headers: { Accept: 'application/json' } })
    assert.equal(status, 404)
    assert.deepEqual(json, {
      name: 'NotFound', message: 'Page not found', code: 404, className: 'not-found', data: { url: '/nobody/here?a=b' }
    })
  })

  it('that nobody serves are a page for a browser', async () => {
    const answer = await http('GET', '/nobody', { headers: { Accept: 'text/html,application/xhtml+xml' } })
    assert.equal(answer.status, 404)
    assert.match(answer.headers.get('content-type'), /^text\/html/)
  })
})

describe('X-Service-Method', () => {
  const named = (verb, path, method, body = {}) =>
    http(verb, path, { body: verb === 'GET' ? undefined : body, headers: { 'X-Service-Method': method } })

  it('calls a custom method by POST, whatever the case of the header', async () => {
    const { json } = await http('POST', '/echo', { body: { a: 1 }, headers: { 'x-SERVICE-method': 'inspect' } })
    assert.deepEqual([json.method, json.data], ['inspect', { a: 1 }])
  })

  it('may not name a method that the service does not offer', async () => {
    for (const [path, method] of [['/echo', 'internalOnly'], ['/echo', 'nothing'], ['/readonly', 'shout'], ['/messages', 'emit']]) {
      const { status, json } = await named('POST', path, method)
      assert.deepEqual([status, json.name, json.message],
        [405, 'MethodNotAllowed', `Method \`${method}\` is not supported by this endpoint.`])
    }
  })

  it('may not name a standard method, on any verb', async () => {
    for (const [verb, method] of [['POST', 'remove'], ['POST', 'create'], ['GET', 'find'], ['PATCH', 'patch']]) {
      const { status, json } = await named(verb, '/echo', method)
      assert.deepEqual([status, json?.message], [405, `Method \`${method}\` is not supported by this endpoint.`], `${verb} ${method}`)
    }
  })

  it('means nothing on other verbs than POST', async () => {
    assert.equal((await named('PATCH', '/echo/1', 'inspect')).json.method, 'patch')
  })
})

describe('Methods that are missing', () => {
  it('are 405', async () => {
    for (const [verb, path, method] of [['POST', '/readonly', 'create'], ['PUT', '/readonly/1', 'update'], ['PATCH', '/readonly/1', 'patch'], ['DELETE', '/readonly/1', 'remove']]) {
      const { status, json } = await http(verb, path, { body: verb === 'DELETE' ? undefined : {} })
      assert.deepEqual([status, json], [405, {
        name: 'MethodNotAllowed', message: `Method \`${method}\` is not supported by this endpoint.`, code: 405, className: 'method-not-allowed'
      }])
    }
  })

  it('are 405 for verbs without meaning', async () => {
    const { status, json } = await http('PROPFIND', '/echo')
    assert.deepEqual([status, json.message], [405, 'Method PROPFIND not allowed'])
  })
})

describe('The query string', () => {
  const query = async (text) => (await http('GET', `/echo?${text}`)).json.query

  it('has strings only', async () => {
    assert.deepEqual(await query('a=null&b=true&c=1&d=&e'), { a: 'null', b: 'true', c: '1', d: '', e: '' })
  })

  it('knows brackets', async () => {
    assert.deepEqual(await query('a[b][c]=1&l[]=1&l[]=2&i[0]=x&i[1]=y'), { a: { b: { c: '1' } }, l: ['1', '2'], i: ['x', 'y'] })
  })

  it('makes an array of a repeated key', async () => {
    assert.deepEqual(await query('a=1&a=2'), { a: ['1', '2'] })
  })

  it('closes the gaps of a sparse array', async () => {
    assert.deepEqual(await query('a[1]=x&a[5]=y'), { a: ['x', 'y'] })
  })

  it('makes an object of mixed keys', async () => {
    assert.deepEqual(await query('a[0]=x&a[b]=y'), { a: { 0: 'x', b: 'y' } })
  })

  it('decodes keys and values', async () => {
    assert.deepEqual(await query('%C3%A4%20b=%C3%BC+c'), { 'ä b': 'ü c' })
  })

  it('gives dots and commas no meaning', async () => {
    assert.deepEqual(await query('a.b=1,2'), { 'a.b': '1,2' })
  })

  it('never reaches a prototype', async () => {
    assert.deepEqual(await query('__proto__[polluted]=1&a=1'), { a: '1' })
  })
})

describe('The body of a REST request', () => {
  const data = async (request) => (await http('POST', '/echo', request)).json.data

  it('is JSON', async () => {
    assert.deepEqual(await data({ body: { a: [1, { b: null }], c: 'ä' } }), { a: [1, { b: null }], c: 'ä' })
    assert.deepEqual(await data({ body: [1, 2] }), [1, 2])
  })

  it('is a form', async () => {
    assert.deepEqual(await data({ body: 'a=1&b[c]=x+y', type: 'application/x-www-form-urlencoded' }), { a: '1', b: { c: 'x y' } })
  })

  it('is empty when there is none', async () => {
    assert.deepEqual(await data({}), {})
  })
})

describe('Errors over REST', () => {
  const CLASSES = [
    ['BadRequest', 400, 'bad-request'], ['NotAuthenticated', 401, 'not-authenticated'], ['PaymentError', 402, 'payment-error'],
    ['Forbidden', 403, 'forbidden'], ['NotFound', 404, 'not-found'], ['MethodNotAllowed', 405, 'method-not-allowed'],
    ['NotAcceptable', 406, 'not-acceptable'], ['Timeout', 408, 'timeout'], ['Conflict', 409, 'conflict'], ['Gone', 410, 'gone'],
    ['LengthRequired', 411, 'length-required'], ['Unprocessable', 422, 'unprocessable'],
    ['TooManyRequests', 429, 'too-many-requests'], ['GeneralError', 500, 'general-error'],
    ['NotImplemented', 501, 'not-implemented'], ['BadGateway', 502, 'bad-gateway'], ['Unavailable', 503, 'unavailable']
  ]
  for (const [name, code, className] of CLASSES) {
    it(`of class ${name} have its code, name and class name`, async () => {
      const { status, json } = await http('GET', `/failures/${name}`)
      assert.equal(status, code)
      assert.deepEqual(json, {
        name, message: `failure ${name}`, code, className,
        data: { reason: name, nested: { deep: true } }, errors: { field: 'invalid' }
      })
    })
  }

  it('without a message say Error, and have neither data nor errors', async () => {
    const { json } = await http('GET', '/failures/bare')
    assert.deepEqual(json, { name: 'NotFound', message: 'Error', code: 404, className: 'not-found' })
  })

  it('that are no Feathers errors become a GeneralError with their message', async () => {
    for (const [id, message] of [['plain', 'plain failure'], ['custom', 'custom failure']]) {
      const { status, json } = await http('GET', `/failures/${id}`)
      assert.deepEqual([status, json], [500, { name: 'GeneralError', message, code: 500, className: 'general-error' }])
    }
  })

  it('keep data that is an array', async () => {
    const { status, json } = await http('POST', '/failures', { body: {} })
    assert.deepEqual([status, json.message, json.data], [409, 'array data', ['a', 'b']])
  })

  it('show no stack', async () => {
    for (const id of ['plain', 'Forbidden']) assert.doesNotMatch((await http('GET', `/failures/${id}`)).text, /stack|\.rs|\.js/)
  })
})

describe('CORS', () => {
  it('lets any origin read', async () => {
    const { headers } = await http('GET', '/echo', { headers: { Origin: 'https://app.example' } })
    assert.equal(headers.get('access-control-allow-origin'), '*')
  })

  it('lets browsers send what the clients send', async () => {
    const { status, headers } = await http('OPTIONS', '/echo', { headers: {
      Origin: 'https://app.example', 'Access-Control-Request-Method': 'PATCH',
      'Access-Control-Request-Headers': 'authorization,content-type,x-service-method'
    } })
    assert.ok(status === 200 || status === 204)
    const allowed = headers.get('access-control-allow-headers').toLowerCase()
    for (const header of ['authorization', 'content-type', 'x-service-method']) assert.ok(allowed.includes(header), header)
    assert.match(headers.get('access-control-allow-methods'), /PATCH/)
  })
})

describe('Credentials over REST', () => {
  const seen = async (authorization, path = '/echo') => (await http('GET', path, { headers: { Authorization: authorization } })).json

  it('are parsed, and verified by nobody, on a public service', async () => {
    for (const header of ['Bearer garbage', 'bearer garbage', 'JWT garbage', 'X-Bearer  garbage', 'garbage']) {
      const { authentication, authenticated, hasUser } = await seen(header)
      assert.deepEqual(authentication, { strategy: 'jwt', accessToken: 'garbage' }, header)
      assert.deepEqual([authenticated ?? false, hasUser], [false, false])
    }
  })

  it('of another scheme are ignored', async () => {
    assert.equal((await seen('Basic dXNlcjpwdw==')).authentication ?? undefined, undefined)
  })

  it('are seen as a header too', async () => {
    assert.equal((await seen('Bearer x')).headers.authorization, 'Bearer x')
  })
})

describe('A server that is away', () => {
  it('is an error of the client, not a hang', async () => {
    const { feathers } = await import('@feathersjs/feathers')
    const rest = (await import('@feathersjs/rest-client')).default
    const app = feathers().configure(rest('http://127.0.0.1:9').fetch(fetch))
    assert.ok(await failure(app.service('echo').find()))
  })
})
