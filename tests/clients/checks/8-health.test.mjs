// Section 8, what any gateway of a mesh shows; the mesh itself is in 8-mesh.
import assert from 'node:assert/strict'
import { describe } from 'node:test'
import { http, ours as it } from '../lib/checks.mjs'

describe('A gateway', () => {
  it('says that it lives and that it is ready', async () => {
    for (const path of ['/livez', '/readyz']) assert.equal((await http('GET', path)).status, 200, path)
  })

  it('says that every remote service is up, with and without a slash and a key', async () => {
    for (const path of ['/distribution/healthcheck/', '/distribution/healthcheck', '/distribution/healthcheck/default']) {
      const { status, json } = await http('GET', path)
      assert.equal(status, 200, path)
      for (const up of Object.values(json)) assert.equal(up, true)
    }
  })

  it('knows no key that no app has', async () => {
    const { status, json } = await http('GET', '/distribution/healthcheck/nobody')
    assert.deepEqual([status, json.name, json.message], [404, 'NotFound', 'No app registered with key nobody'])
  })
})
