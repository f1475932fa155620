// feathers-distributed 3: discovery by UDP broadcast, calls by direct TCP. Roles: service, call, gateway.
import { feathers } from '@feathersjs/feathers'
import express from '@feathersjs/express'
import distributed from '@kalisio/feathers-distributed'
import { bench } from './bench.mjs'

const [role, port] = process.argv.slice(2)
const distribution = distributed.default || distributed
const app = express.default ? express.default(feathers()) : express(feathers())
app.configure(express.rest())
app.configure(distribution({
  key: role === 'service' ? 'services' : 'callers',
  publicationDelay: 500,
  componentDelay: 50,
  middlewares: role === 'gateway' ? { after: express.errorHandler() } : {},
  cote: { helloInterval: 500, checkInterval: 1000, nodeTimeout: 2000, masterTimeout: 3000, log: false }
}))
if (role === 'service') {
  app.use('echo', { async get (id) { return { id, title: 'hello', text: 'x'.repeat(100) } } })
  await app.listen(Number(port))
  console.log(JSON.stringify({ ready: true }))
} else {
  await app.listen(Number(port))
  await new Promise(resolve => app.on('service', service => service.path === 'echo' && resolve()))
  // The first calls of a younger connection fail.
  await new Promise(resolve => setTimeout(resolve, 1500))
  if (role === 'gateway') {
    console.log(JSON.stringify({ ready: true, address: `127.0.0.1:${port}` }))
  } else {
    await bench(i => app.service('echo').get(String(i), { query: {} }))
    process.exit(0)
  }
}
