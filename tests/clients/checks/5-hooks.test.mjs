// Section 5: the order of hooks, and what an early result or a failure does to it.
import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { failsWith, http, listen, unique } from '../lib/checks.mjs'
import { clients, socket } from '../lib/clients.mjs'

const IN = [
  'app around', 'app around get', 'app before', 'app before get',
  'service around', 'service around get', 'service before', 'service before get'
]
const SERVICE_OUT = ['service around get out', 'service around out']
const APP_OUT = ['app after', 'app after get', 'app around get out', 'app around out']
const FAILED = ['service error get', 'service error', 'app error get', 'app error']
const ALL = [...IN, 'method', 'service after', 'service after get', ...SERVICE_OUT, ...APP_OUT]

for (const name of ['fetch', 'socketio']) {
  describe(`Hooks over ${name}`, () => {
    let service
    before(async () => { service = (await clients[name]()).service('hooks-order') })

    it('run around, before, method, after and out again, the app outside of the service', async () => {
      assert.deepEqual(await service.get('anything'), { id: 'anything', trace: ALL })
    })

    it('start anew with each call', async () => {
      const [one, two] = await Promise.all([service.get('one'), service.get('two')])
      assert.deepEqual([one.trace, two.trace], [ALL, ALL])
    })

    it('skip the method and nothing else when a before hook sets the result', async () => {
      assert.deepEqual(await service.get('early'), { id: 'early', trace: ALL.filter((step) => step !== 'method') })
    })

    it('go to the error hooks of the service when one of its before hooks fails', async () => {
      const error = await failsWith(service.get('stop'), 403, 'Forbidden', 'stopped before')
      assert.deepEqual(error.data.trace, [...IN, ...FAILED])
    })

    it('go to the error hooks of the service when one of its after hooks fails', async () => {
      const error = await failsWith(service.get('after-fail'), 400, 'BadRequest', 'failed after')
      assert.deepEqual(error.data.trace, [...IN, 'method', 'service after', 'service after get', ...FAILED])
    })

    it('recover when an error hook sets the result, and the app\'s after hooks run', async () => {
      const trace = [...IN, 'service error get', 'service error', ...SERVICE_OUT, ...APP_OUT]
      assert.deepEqual(await service.get('recover'), { id: 'recover', trace })
    })
  })
}

describe('A method that fails', () => {
  it('fails with its message after the error hooks', async () => {
    const { status, json } = await http('GET', '/hooks-order/fail')
    assert.deepEqual([status, json.name, json.message], [500, 'GeneralError', 'method failed'])
  })

  it('takes the error hooks of the service along', async () => {
    const app = await clients.socketio()
    const error = await app.service('hooks-order').get('fail').then(() => assert.fail('it should fail'), (error) => error)
    assert.equal(error.message, 'method failed')
    assert.deepEqual(error.data.trace, [...IN, 'method', ...FAILED])
  })
})

describe('Hooks of other services', () => {
  it('are not run', async () => {
    const { json } = await http('GET', '/readonly/5')
    assert.deepEqual(json, { id: '5' })
  })
})

describe('An authentication hook', () => {
  it('runs before the data is looked at', async () => {
    const { status } = await http('POST', '/secured', { body: [null, 1] })
    assert.equal(status, 401)
  })
})

describe('context.http', () => {
  it('is there for calls over HTTP only', async () => {
    assert.equal((await http('GET', '/meta/status')).status, 202)
    const bare = await socket()
    const heard = listen(bare, 'messages created')
    const text = unique()
    await http('POST', '/messages', { body: { text } })
    assert.equal((await heard.first((message) => message.text === text)).status, undefined)
  })
})
