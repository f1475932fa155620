// What JavaScript code knows of a call it runs, and what it costs others when a process stands still.
import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { feathers } from '@feathersjs/feathers'
import distribution, { finalize } from '@rachis/feathers'
import { application, eventually } from '../lib/programs.mjs'

const namespace = 'context'
const apps = []
const started = []
const make = (options) => {
  const app = feathers().configure(distribution({ namespace, log() {}, ...options }))
  apps.push(app)
  return app
}
const start = async (...args) => {
  started.push(await application(...args))
  return started.at(-1)
}

after(async () => {
  await Promise.all(apps.map((app) => finalize(app)))
  await Promise.all(started.map((app) => app.stop('SIGKILL')))
})

test('each call has an asynchronous context of its own, and its caller keeps the one it has', async () => {
  const storage = new AsyncLocalStorage()
  const [server, client] = [make({ key: 'context-server' }), make({ key: 'context-client' })]
  const found = []
  server.use('contexts', {
    async get(id) {
      // Nothing of the application's start, of the caller in this same process, or of another call.
      found.push(storage.getStore())
      storage.enterWith({ id })
      await sleep(5)
      return { id, store: storage.getStore() }
    }
  })
  const events = []
  client.on('service', ({ path }) => client.service(path).on('noted', () => events.push(storage.getStore())))
  await eventually('the service is known', () => Object.hasOwn(client.services, 'contexts'))
  const calls = Array.from({ length: 50 }, (_, number) => storage.run({ caller: number }, async () => {
    const answer = await client.service('contexts').get(number)
    return { answer, caller: storage.getStore() }
  }))
  for (const [number, { answer, caller }] of (await Promise.all(calls)).entries()) {
    assert.deepEqual(answer, { id: number, store: { id: number } })
    assert.deepEqual(caller, { caller: number })
  }
  assert.equal(found.length, 50)
  assert.deepEqual(found.filter((store) => store !== undefined), [])
})

test('a call says until when its caller waits, and what is called for it has no more time', async () => {
  const [inner, outer, client] = [make({ key: 'inner' }), make({ key: 'outer' }), make({ key: 'deadline', timeout: 4000 })]
  inner.use('inner', { get: async (id, { deadline, fromRemote }) => ({ left: deadline - Date.now(), fromRemote }) })
  outer.use('outer', {
    async get(id, params) {
      const here = params.deadline - Date.now()
      const there = await outer.service('inner').get(id, { query: {}, deadline: params.deadline })
      return { here, there }
    }
  })
  await eventually('both are known', () => Object.hasOwn(client.services, 'outer') && Object.hasOwn(outer.services, 'inner'))
  const { here, there } = await client.service('outer').get(1)
  assert.ok(here > 2000 && here <= 4100, `${here} ms are left of 4,000`)
  assert.ok(there.left <= here && there.left > 1000, `${there.left} ms are left of ${here}`)
  const soon = await client.service('outer').get(1, { query: {}, deadline: Date.now() + 1500 })
  assert.ok(soon.here <= 1600, `${soon.here} ms are left of 1,500`)
  await assert.rejects(client.service('outer').get(1, { query: {}, deadline: Date.now() - 1 }),
    { name: 'Timeout', code: 408, data: { outcome: 'never ran' } })
})

test('a frozen process beside an idle replica costs no call, and works again when it thaws', async () => {
  const options = { namespace: 'frozen', config: { heartbeat_interval: '300ms', ttl: '2s' }, timeout: 20000 }
  const services = { jobs: 'worker' }
  const replicas = [await start({ options: { ...options, key: 'jobs' }, services }), await start({ options: { ...options, key: 'jobs' }, services })]
  const client = await start({ options: { ...options, key: 'client' } })
  await eventually('the service is known', () => client.do('has', { path: 'jobs' }))
  const pids = async () => new Set((await Promise.all(Array.from({ length: 20 }, () => client.call('jobs', 'get', 1)))).map(({ pid }) => pid))
  await eventually('both answer', async () => (await pids()).size === 2)
  const [frozen, idle] = replicas
  frozen.child.kill('SIGSTOP')
  try {
    const calls = []
    for (let round = 0; round < 60; round++) {
      for (let i = 0; i < 5; i++) calls.push(client.call('jobs', 'get', 1))
      await sleep(100)
    }
    const answers = await Promise.all(calls)
    assert.deepEqual([...new Set(answers.map(({ pid }) => pid))], [idle.pid], 'all are answered, by the one that runs')
  } finally {
    frozen.child.kill('SIGCONT')
  }
  await eventually('the other one answers again', async () => (await pids()).has(frozen.pid))
})
