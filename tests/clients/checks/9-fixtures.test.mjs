// Section 9: what every fixture does, over REST and over a socket alike.
import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { failsWith, failure, http, unique } from '../lib/checks.mjs'
import { clients, provider } from '../lib/clients.mjs'

for (const name of ['fetch', 'socketio']) {
  describe(`The fixtures over ${name}`, () => {
    let app
    before(async () => { app = await clients[name]() })

    it('people and people-customid: records of one store each, with their own id field', async () => {
      for (const [path, id] of [['people', 'id'], ['people-customid', 'customid']]) {
        const service = app.service(path)
        const made = await service.create({ name: unique(), age: 5 })
        assert.equal(typeof made[id], 'number')
        assert.deepEqual(await service.find({ query: { [id]: made[id] } }), [made])
        assert.deepEqual(await service.remove(made[id]), made)
      }
    })

    it('people: $params changes the options of one call and is no part of the query', async () => {
      const service = app.service('people')
      const made = await service.create({ name: unique() })
      const $params = JSON.stringify({ paginate: { default: 1, max: 2 } })
      const page = await service.find({ query: { name: made.name, $params } })
      assert.deepEqual(page, { total: 1, limit: 1, skip: 0, data: [made] })
      const inner = JSON.stringify({ adapter: { paginate: { default: 3 } } })
      assert.equal((await service.find({ query: { name: made.name, $params: inner } })).limit, 3)
      await service.remove(made.id)
    })

    it('messages: shout says provider and query, or is unprocessable', async () => {
      const service = app.service('messages')
      const said = await service.shout({ text: 'hey' }, { query: { a: 'b' } })
      assert.deepEqual(said, { text: 'HEY', provider: provider(name), query: { a: 'b' } })
      const error = await failsWith(service.shout({ fail: true }), 422, 'Unprocessable', 'Can not shout')
      assert.deepEqual(error.errors, { text: 'too quiet' })
    })

    it('echo: says all that came', async () => {
      const seen = await app.service('echo').get('a', { query: { q: '1' } })
      assert.deepEqual([seen.method, seen.id, seen.query, seen.route, seen.hasUser], ['get', 'a', { q: '1' }, {}, false])
    })

    it('echo: internalOnly is not exposed', async () => {
      const { status } = await http('POST', '/echo', { body: {}, headers: { 'X-Service-Method': 'internalOnly' } })
      assert.equal(status, 405)
    })

    it('failures: find, create and get fail as they say', async () => {
      const service = app.service('failures')
      await failsWith(service.find(), 403, 'Forbidden', 'no data')
      const conflict = await failsWith(service.create({}), 409, 'Conflict', 'array data')
      assert.deepEqual(conflict.data, ['a', 'b'])
      await failsWith(service.get('bare'), 404, 'NotFound', 'Error')
      assert.equal((await failure(service.get('plain'))).message, 'plain failure')
      assert.equal((await failure(service.get('custom'))).message, 'custom failure')
    })

    it('readonly: finds nothing and gets anything', async () => {
      assert.deepEqual(await app.service('readonly').find(), [])
      assert.deepEqual(await app.service('readonly').get('x'), { id: 'x' })
      await failsWith(app.service('readonly').create({}), 405, 'MethodNotAllowed')
    })

    it('meta: returns other things than records', async () => {
      const service = app.service('meta')
      assert.deepEqual(await service.get('array'), [1, 2, 3])
      assert.equal(await service.get('string'), 'text')
      assert.deepEqual(await service.get('whatever'), { id: 'whatever' })
      assert.deepEqual(await service.get('dispatch'), { id: 'dispatch', external: true })
      assert.deepEqual(await service.create({ a: 1 }), { a: 1 })
    })

    it('meta: is slow where asked to', async () => {
      const start = performance.now()
      assert.deepEqual(await app.service('meta').get('slow'), { id: 'slow' })
      assert.ok(performance.now() - start > 1400)
    })

    it('notes and muted: are open to all', async () => {
      for (const path of ['notes', 'muted']) {
        const made = await app.service(path).create({ text: 'x' })
        assert.deepEqual(await app.service(path).get(made.id), made)
        await app.service(path).remove(made.id)
      }
    })
  })
}

describe('secured', () => {
  let app, user
  before(async () => {
    app = await clients.fetch()
    const credentials = { email: `${unique('user')}@example.org`, password: 'pw' }
    user = await app.service('users').create(credentials)
    await app.authenticate({ strategy: 'local', ...credentials })
  })

  it('refuses strangers on every method', async () => {
    const service = (await clients.socketio()).service('secured')
    const calls = [service.find(), service.get(0), service.create({}), service.update(0, {}), service.patch(0, {}), service.remove(0)]
    await Promise.all(calls.map((refused) => failsWith(refused, 401, 'NotAuthenticated', 'Not authenticated')))
  })

  it('says whose record it is, whatever the caller claims', async () => {
    const made = await app.service('secured').create({ text: 'x', userId: 999 })
    assert.equal(made.userId, user.id)
  })

  it('takes several records at once', async () => {
    const made = await app.service('secured').create([{ a: 1 }, { a: 2 }])
    assert.deepEqual(made.map(({ userId }) => userId), [user.id, user.id])
  })
})
