// The service of examples/hello.rs in Node.js. With the same name of the application (DISTRIBUTION_APP) the two are replicas
// of each other, and share its calls.
import { feathers } from '@feathersjs/feathers'
import distribution, { initialize } from '@rachis/feathers'

class Greetings {
  async get(name) {
    return { text: `Hello, ${name}!` }
  }

  async create({ name = 'you' }) {
    return { text: `Hello, ${name}!` }
  }
}

const app = feathers().configure(distribution({ coteDelay: -1 }))
app.use('greetings', new Greetings(), { methods: ['get', 'create'] })
await initialize(app)
console.log(`greetings are served by node ${app.uuid}`)
