// The services that the programs of the checks have.
import { MemoryService } from '@feathersjs/memory'
import { FeathersError, Conflict } from '@feathersjs/errors'

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

class Notes extends MemoryService {
  async shout(data, params) {
    return { text: data.text.toUpperCase(), provider: params.provider, from: process.pid }
  }
}

class Teapot extends FeathersError {
  constructor(message) {
    super(message, 'Teapot', 418, 'teapot', { spout: true })
  }
}

/** Each kind of service: the object, its options, its hooks. */
export const kinds = {
  notes: (app, path) => {
    app.use(path, new Notes({ multi: true, startId: 1 }), {
      methods: ['find', 'get', 'create', 'update', 'patch', 'remove', 'shout'], events: ['announced']
    })
    app.service(path).hooks({
      after: {
        create: [(context) => {
          if (context.data.secret) {
            context.dispatch = { id: context.result.id, text: context.result.text }
          }
          if (context.http) context.http.headers = { 'x-note': String(context.result.id) }
        }]
      }
    })
  },
  echo: (app, path) => app.use(path, {
    async get(id, params) {
      const { query, provider, user, headers, fromRemote, tenant, connection } = params
      return { id, query, provider, user, headers, fromRemote, tenant, hasConnection: connection !== undefined, hasProvider: 'provider' in params }
    },
    async create(data) {
      return { data }
    }
  }),
  failing: (app, path) => app.use(path, {
    async get(id) {
      if (id === 'teapot') throw new Teapot('short and stout')
      if (id === 'conflict') throw new Conflict('taken', { by: 'other', errors: { name: 'is taken' } })
      if (id === 'plain') throw new TypeError('not mine')
      if (id === 'text') throw 'only text'
      if (id === 'circular') return { get me() { const circle = {}; circle.circle = circle; return circle } }
      if (id === 'bigint') return { value: 10n }
      return { id }
    }
  }),
  /** Blocks the event loop for as many ms as the id says, or sleeps for as many as it is told to. */
  worker: (app, path) => app.use(path, {
    async get(id, params) {
      if (params.query.block) {
        const end = Date.now() + Number(id)
        while (Date.now() < end);
      } else await sleep(Number(id))
      return { pid: process.pid }
    },
    async create(data) {
      process.send?.({ began: data.n })
      await sleep(data.ms)
      return { pid: process.pid, n: data.n }
    }
  })
}
