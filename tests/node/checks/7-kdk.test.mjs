// What applications of KDK do with remote services: they write on them what KDK's own services have, by the documented
// pattern of its `app.on('service')` and `decorateDistributedService`, go by `remoteOptions`, and check permissions by the
// presence of a provider. KDK itself is not a part of this check.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { feathers } from '@feathersjs/feathers'
import { Forbidden } from '@feathersjs/errors'
import { MemoryService } from '@feathersjs/memory'
import distribution, { finalize } from '@rachis/feathers'
import { conformance } from '../../clients/lib/processes.mjs'
import { eventually } from '../lib/programs.mjs'

const namespace = 'kdk'
const log = () => {}
let server, consumer, rust
const decorated = []

/** As KDK's core writes it: name and context from the path, and functions that its hooks ask for. */
function decorateDistributedService(app, service, path) {
  const [name, context] = [path.split('/').at(-1), path.split('/').slice(0, -1).join('/')]
  Object.assign(service, { name, context, app, getPath: () => path, getContextId: () => context })
  decorated.push(path)
}

before(async () => {
  rust = await conformance(process.env.CONFORMANCE_BINARY, process.env.REDIS_URL, 'services', { env: { DISTRIBUTION_NAMESPACE: namespace } })
  server = feathers().configure(distribution({
    namespace, key: 'planet', log,
    services: ({ path }) => !path.includes('internal'),
    remoteServiceOptions: () => ['modelName']
  }))
  server.use('maps/features', new MemoryService({ modelName: 'features', secret: 'stays', multi: true }))
  server.use('internal', new MemoryService({}))
  server.hooks({
    before: { all: [(context) => {
      if ('provider' in context.params && !context.params.user) throw new Forbidden('You are not allowed to access service')
    }] }
  })
  consumer = feathers().configure(distribution({
    namespace, key: 'kano', log,
    remoteServices: ({ key, path }) => key === 'planet' || path === 'messages',
    remoteServicePath: ({ key, path }) => (key === 'planet' ? `planet/${path}` : path)
  }))
  consumer.on('service', ({ path }) => decorateDistributedService(consumer, consumer.service(path), path))
  await eventually('both are decorated', () => ['planet/maps/features', 'messages'].every((path) => decorated.includes(path)))
})

after(async () => {
  await Promise.all([finalize(server), finalize(consumer)])
  await rust.stop()
})

test('a remote service carries what KDK writes on it, and keeps its own path', () => {
  const service = consumer.service('planet/maps/features')
  assert.deepEqual([service.name, service.context, service.getPath(), service.getContextId()], ['features', 'planet/maps', 'planet/maps/features', 'planet/maps'])
  assert.deepEqual([service.remote, service.key, service.path], [true, 'planet', 'maps/features'])
  assert.equal(service.app, consumer)
})

test('options are announced by name, and no others', () => {
  assert.deepEqual(consumer.service('planet/maps/features').remoteOptions, { modelName: 'features' })
})

test('what services keeps back, and what remoteServices leaves out, is not there', () => {
  assert.deepEqual(Object.keys(consumer.services).filter((path) => consumer.services[path].remote).sort(), ['messages', 'planet/maps/features'])
})

test('permissions go by the presence of a provider, here and there', async () => {
  const service = consumer.service('planet/maps/features')
  assert.equal((await service.create({ name: 'a' })).name, 'a')
  await assert.rejects(service.find({ query: {}, provider: 'rest' }), { name: 'Forbidden' })
  assert.equal((await service.find({ query: {}, provider: 'rest', user: { id: 1 } })).length, 1)
})

test('a service of a Rust node is used in the same way', async () => {
  const service = consumer.service('messages')
  const { id } = await service.create({ text: 'a' })
  assert.equal((await service.get(id)).text, 'a')
  assert.deepEqual([service.name, service.path, service.remote], ['messages', 'messages', true])
})

test('a feature that changes is heard under the name that it has here', async () => {
  const service = consumer.service('planet/maps/features')
  const heard = new Promise((resolve) => service.once('created', (data, context) => resolve([data.name, context.path, context.service])))
  await server.service('maps/features').create({ name: 'b' })
  const [name, path, of] = await heard
  assert.deepEqual([name, path, of === service], ['b', 'planet/maps/features', true])
})
