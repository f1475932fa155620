// The same replicas, once with feathers-sync and once with `sync: true`: what one of them tells, the other one hears alike.
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { feathers } from '@feathersjs/feathers'
import { MemoryService } from '@feathersjs/memory'
import distribution, { finalize } from '@rachis/feathers'
import sync from 'feathers-sync'
import { eventually } from '../lib/programs.mjs'

const plugins = {
  'feathers-sync': (app) => app.configure(sync({ uri: process.env.REDIS_URL })),
  'sync: true': (app) => app.configure(distribution({ namespace: 'compared', key: 'shop', sync: true, log() {} }))
}
const ends = []

after(() => Promise.all(ends.map((end) => end())))

/** Two replicas by a plugin, and what the second one hears. */
async function replicas(configure) {
  const heard = []
  const apps = []
  for (let number = 0; number < 2; number++) {
    const app = feathers()
    configure(app)
    app.use('todos', new MemoryService({ multi: true, startId: 1 }), { events: ['done'] })
    apps.push(app)
    await app.setup()
  }
  await Promise.all(apps.map((app) => app.sync.ready))
  const [first, second] = apps
  for (const event of ['created', 'updated', 'patched', 'removed', 'done']) {
    second.service('todos').on(event, (data, context) => heard.push({ event, data, path: context?.path, method: context?.method, query: context?.params?.query, result: context?.result }))
  }
  second.on('sync-in', (message) => heard.push({ 'sync-in': message }))
  first.on('sync-out', (message) => heard.push({ 'sync-out': message }))
  return { first, second, heard }
}

async function scenario(name) {
  const { first, second, heard } = await replicas(plugins[name])
  const todos = first.service('todos')
  const ofEvents = () => heard.filter((one) => one.event)
  let wanted = 0
  const settled = async (more) => {
    wanted += more
    await eventually(`${wanted} events came by ${name}`, () => ofEvents().length >= wanted)
  }
  await todos.create({ text: 'one' }, { query: { q: 'x' } })
  await settled(1)
  await todos.create([{ text: 'two' }, { text: 'three' }])
  await settled(2)
  await todos.patch(1, { done: true })
  await settled(1)
  await todos.update(2, { text: 'other' })
  await settled(1)
  await todos.remove(3)
  await settled(1)
  todos.emit('done', { by: 'hand' })
  await settled(1)
  ends.push(async () => {
    if (name === 'sync: true') return Promise.all([finalize(first), finalize(second)])
    for (const app of [first, second]) await Promise.all([app.sync.pub?.close?.(), app.sync.sub?.close?.(), app.sync.client?.close?.()])
  })
  return { events: ofEvents(), told: heard.filter((one) => !one.event) }
}

const alike = ({ events }) => events.map(({ event, data, path, method }) => ({ event, data, method, path: method && path }))

test('all events of the other replica come, with the same data and the same call', async () => {
  const [theirs, ours] = [await scenario('feathers-sync'), await scenario('sync: true')]
  assert.equal(theirs.events.length, 7)
  assert.deepEqual(alike(ours), alike(theirs))
  assert.deepEqual([theirs.events[0].query, ours.events[0].query], [{ q: 'x' }, { q: 'x' }])
  // Where the two differ: of a call for many, each event has its own record as the result.
  assert.deepEqual([theirs.events[1].result.length, ours.events[1].result.text], [2, 'two'])
  const kinds = ({ told }) => [...new Set(told.map((one) => Object.keys(one)[0]))].sort()
  assert.deepEqual(kinds(ours), kinds(theirs))
})
