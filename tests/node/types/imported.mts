// What a program in TypeScript may write with `import`; tsc looks through it, nothing runs it.
import { feathers, type Params } from '@feathersjs/feathers'
import distribution, { finalize, initialize, type DistributionOptions, type ServiceDescriptor } from '@rachis/feathers'

const options: DistributionOptions = {
  key: 'shop',
  redis: 'redis://127.0.0.1:6379',
  services: ({ path, methods }) => path !== 'internal' && methods.includes('get'),
  remoteServices: ['orders'],
  remoteServicePath: ({ key, path }) => `${key}/${path}`,
  remoteServiceOptions: () => ['modelName'],
  hooks: { before: { all: [] } },
  linger: 'forever',
  sync: true,
  log: (level, text) => console.log(level.toUpperCase(), text)
}
const app = feathers().configure(distribution(options))
app.on('service', (service: ServiceDescriptor) => console.log(service.path, service.remoteOptions?.modelName))
const joined: Promise<void> = initialize(app)
const left: Promise<void> = finalize(app)

const params: Params = { query: {}, idempotencyKey: 'once', deadline: Date.now() + 1000 }
const until: number | undefined = params.deadline
const isRemote: boolean | undefined = params.fromRemote

// @ts-expect-error an option that there is not
distribution({ tiemout: 5 })
// @ts-expect-error a time is a number
distribution({ timeout: 'soon' })
// @ts-expect-error a level that there is not
distribution({ log: (level: 'loud') => console.log(level) })

export { joined, left, until, isRemote }
