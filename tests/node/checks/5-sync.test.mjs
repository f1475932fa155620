// `sync: true`: an event of a service happens on the same service of every other replica, as feathers-sync does it.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { feathers } from '@feathersjs/feathers'
import { MemoryService } from '@feathersjs/memory'
import distribution, { finalize } from '@rachis/feathers'
import { eventually } from '../lib/programs.mjs'

const replicas = []
const heard = [[], [], []]

before(async () => {
  for (let i = 0; i < 3; i++) {
    const app = feathers().configure(distribution({ namespace: 'sync', key: 'shop', sync: true, log() {} }))
    app.use('todos', new MemoryService({ multi: true }), { methods: ['find', 'get', 'create', 'patch'], events: ['done'] })
    for (const event of ['created', 'done']) {
      app.service('todos').on(event, (data, context) => heard[i].push({ event, data, context }))
    }
    replicas.push(app)
  }
  await Promise.all(replicas.map((app) => app.sync.ready))
})

after(() => Promise.all(replicas.map((app) => finalize(app))))

const names = () => heard.map((events) => events.map(({ event, data }) => `${event} ${data.text}`))

test('an event of one replica happens once on each of the others', async () => {
  const told = []
  replicas[0].on('sync-out', ({ event, path }) => told.push(`out ${event} ${path}`))
  replicas[1].on('sync-in', ({ event, path }) => told.push(`in ${event} ${path}`))
  await replicas[0].service('todos').create({ text: 'one' }, { query: {}, user: { id: 5 } })
  replicas[1].service('todos').emit('done', { text: 'two' })
  await eventually('all have both', () => heard.every((events) => events.length >= 2))
  // What came from another replica must not go round: as long again for what would be one too many.
  await replicas[2].service('todos').create([{ text: 'three' }, { text: 'four' }])
  await eventually('all have all', () => heard.every((events) => events.length >= 4))
  for (const events of names()) assert.deepEqual(events.toSorted(), ['created four', 'created one', 'created three', 'done two'])
  assert.deepEqual(told.toSorted().slice(0, 4), ['in created todos', 'in created todos', 'in created todos', 'out created todos'])
  const [{ context }] = heard[1].filter(({ data }) => data.text === 'one')
  assert.equal(context.app, replicas[1])
  assert.equal(context.service, replicas[1].service('todos'))
  assert.deepEqual([context.method, context.params.user, context.result.text], ['create', { id: 5 }, 'one'])
})

test('applications of other keys do not hear them on services of their own', async () => {
  const other = feathers().configure(distribution({ namespace: 'sync', key: 'other', sync: true, log() {} }))
  const foreign = []
  other.use('todos', new MemoryService({}))
  other.service('todos').on('created', (data) => foreign.push(data))
  await other.sync.ready
  await replicas[0].service('todos').create({ text: 'five' })
  await eventually('the replicas have it', () => heard.every((events) => events.length >= 5))
  assert.deepEqual(foreign, [])
  await finalize(other)
})
