// The application of threads.mjs.
import { parentPort } from 'node:worker_threads'
import { feathers } from '@feathersjs/feathers'
import distribution, { initialize } from '@rachis/feathers'

const { options } = JSON.parse(process.env.SPEC)
const app = feathers().configure(distribution(options))
app.use('threaded', {
  get(id) {
    parentPort.postMessage({ began: true })
    return new Promise((resolve) => setTimeout(() => resolve({ id }), id))
  }
})
await initialize(app)
parentPort.postMessage({ ready: true })
