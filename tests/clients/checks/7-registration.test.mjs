// Section 7: registration, as far as it can be seen from outside.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { call, http } from '../lib/checks.mjs'
import { socket } from '../lib/clients.mjs'

describe('A registered service', () => {
  it('is found without the slashes it may have at its ends', async () => {
    const bare = await socket()
    for (const path of ['messages', '/messages', 'messages/', '/messages/']) {
      assert.equal((await call(bare, 'shout', path, { text: 'a' }, {}))[1].text, 'A', path)
    }
    assert.equal((await http('GET', '/messages/')).status, 200)
  })

  it('is not found by a part of its path', async () => {
    for (const path of ['/api', '/api/v1', '/api/v1/ech', '/orgs', '/orgs/acme']) {
      assert.equal((await http('GET', path)).status, 404, path)
    }
    const bare = await socket()
    for (const path of ['api', 'api/v1', 'orgs/acme', '']) {
      assert.equal((await call(bare, 'find', path, {}))[0].code, 404, path)
    }
  })

  it('offers the methods it was registered with and no others', async () => {
    const bare = await socket()
    for (const args of [['find', 'echo', {}], ['create', 'echo', {}, {}], ['inspect', 'echo', {}, {}]]) {
      assert.equal((await call(bare, ...args))[0], null, args[0])
    }
    for (const [path, methods] of Object.entries({ readonly: ['create', 'update', 'patch', 'remove'], authentication: ['find', 'get', 'update', 'patch'] })) {
      for (const method of methods) {
        const args = ['find', 'create'].includes(method) ? [{}] : [1, {}]
        const [error] = await call(bare, method, path, ...args)
        assert.equal(error.code, 405, `${method} ${path}`)
      }
    }
  })

  it('takes a placeholder that a client left as it is for a value like any other', async () => {
    const route = { orgId: ':orgId' }
    assert.deepEqual((await http('GET', '/orgs/:orgId/echo')).json.route, route)
    assert.deepEqual((await call(await socket(), 'find', 'orgs/:orgId/echo', {}))[1].route, route)
  })

  it('keeps its placeholders apart for each call', async () => {
    const seen = await Promise.all(['a', 'b', 'c'].map((org) => http('GET', `/orgs/${org}/echo/1`)))
    assert.deepEqual(seen.map(({ json }) => json.route.orgId), ['a', 'b', 'c'])
  })
})
