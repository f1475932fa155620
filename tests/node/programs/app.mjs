// One application on the mesh, told over IPC what to have and to do. `SPEC` is JSON: { options, services: { path: kind } }.
import { feathers } from '@feathersjs/feathers'
import distribution, { initialize, finalize } from '@rachis/feathers'
import { kinds } from '../lib/services.mjs'

const spec = JSON.parse(process.env.SPEC)
const app = feathers()
const seen = []
app.on('service', ({ path }) => seen.push(['service', path]))
app.on('service-removed', ({ path }) => seen.push(['service-removed', path]))
app.configure(distribution({ ...spec.options, log: (level, text) => seen.push([level, text]) }))
for (const [path, kind] of Object.entries(spec.services ?? {})) kinds[kind](app, path)

const heard = []
const actions = {
  call: ({ path, method, args }) => app.service(path)[method](...args),
  listen: ({ path, event }) => {
    app.service(path).on(event, (data, context) => {
      const { method, type, params, id, data: given, result } = context ?? {}
      heard.push({ path, event, data, method, type, id, given, result, query: params?.query, user: params?.user, isApp: context?.app === app })
    })
  },
  emit: ({ path, event, data }) => { app.service(path).emit(event, data) },
  has: ({ path }) => Object.hasOwn(app.services, path),
  heard: () => heard,
  seen: () => seen,
  unuse: ({ path }) => app.unuse(path).then(() => {}),
  use: ({ path, kind }) => { kinds[kind](app, path) },
  finalize: () => finalize(app)
}

process.on('message', async ({ number, action, ...args }) => {
  try {
    process.send({ number, result: await actions[action](args) })
  } catch (error) {
    process.send({ number, error: { ...(error.toJSON?.() ?? {}), name: error.name, message: error.message } })
  }
})

await app.setup()
await initialize(app)
process.send({ ready: true })
