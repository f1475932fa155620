// Two applications made by KDK: one has a service under KDK's hook for permissions, the other one uses it, and the service of
// examples/hello.rs if that runs, by KDK's own `decorateDistributedService`. Neither needs its database for that.
//
//   npm install && npm install "$(../../scripts/node-package.sh)"
//   REDIS_URL=redis://127.0.0.1:6379 node planet.mjs
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { authorise } from '@kalisio/kdk/core/api/hooks/hooks.authorisations.js'
import { defineAbilities } from '@kalisio/kdk/core/common/permissions.js'
import { kdk } from '@kalisio/kdk/core/api/application.js'
import { decorateDistributedService } from '@kalisio/kdk/core/api/services/index.js'
import { MemoryService } from '@feathersjs/memory'
import distribution, { finalize, initialize } from '@rachis/feathers'

const settings = {
  host: '127.0.0.1',
  apiPath: '/api',
  db: { adapter: 'mongodb', url: 'mongodb://127.0.0.1:27017/unused' },
  authentication: { secret: 'only for this example', authStrategies: [], path: '/api/authentication', service: 'api/users' }
}

// As an application of KDK begins: its `configure` is asynchronous.
const planet = kdk(settings)
await planet.configure(distribution({
  key: 'planet',
  services: ({ path }) => path === 'api/features',
  remoteServiceOptions: () => ['modelName'],
  coteDelay: -1
}))
planet.declareService('features', new MemoryService({ multi: true }), { modelName: 'features' })
// What KDK's own service of this name does without a database: nobody is allowed anything.
planet.declareService('authorisations', { find: async () => [], getAbilities: (subject) => defineAbilities(subject, planet) })
planet.hooks({ before: { all: [authorise] } })

const kano = kdk(settings)
await kano.configure(distribution({ key: 'kano', services: () => false, coteDelay: -1 }))
const found = (path) => new Promise((resolve) => kano.on('service', (service) => service.path === path && resolve(service)))
kano.on('service', (service) => decorateDistributedService.call(kano, service))
const features = found('api/features')
await Promise.all([initialize(planet), initialize(kano)])

const { remoteOptions } = await features
const service = kano.getService('features')
assert.deepEqual(remoteOptions, { modelName: 'features' })
assert.deepEqual([service.name, service.path, service.getPath(true), service.app === kano], ['features', 'api/features', '/api/features', true])
const heard = once(service, 'created')
// Calls of the application itself have no provider, and KDK lets them pass; those of clients need abilities.
const created = await service.create({ name: 'river' })
assert.equal((await heard)[0].name, 'river')
assert.deepEqual((await service.find({ query: { name: 'river' } })).map(({ name }) => name), ['river'])
await assert.rejects(service.get(created.id, { query: {}, provider: 'rest' }), { code: 403 })
console.log('KDK uses a service of another application, and its permissions hold')
await Promise.all([finalize(planet), finalize(kano)])
process.exit(0)
