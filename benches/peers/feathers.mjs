// feathers-distributed 3: discovery by UDP broadcast, calls by direct TCP. Or what PLUGIN names in its place, or with `none`
// Feathers alone.
//   node feathers.mjs service PORT
//   node feathers.mjs call PORT CALLERS SECONDS
//   node feathers.mjs gateway PORT
import express from '@feathersjs/express'
import { feathers } from '@feathersjs/feathers'
import socketio from '@feathersjs/socketio'
import { bench } from './bench.mjs'

const plugin = process.env.PLUGIN ?? '@kalisio/feathers-distributed'
const { default: distribution } = plugin === 'none' ? { default: () => () => {} } : await import(plugin)
const [role, port, callers, seconds] = process.argv.slice(2)
const app = express(feathers())
app.configure(express.rest())
app.configure(socketio())
app.configure(distribution({
  key: role,
  // Its own defaults wait for 10 s before it says what it serves; that is not what is measured here.
  publicationDelay: 500,
  componentDelay: 50,
  middlewares: role === 'gateway' ? { after: express.errorHandler() } : {},
  cote: { helloInterval: 500, checkInterval: 1000, nodeTimeout: 2000, masterTimeout: 3000, log: false }
}))
if (role === 'service') {
  app.use('echo', { async get (id) { return { id, title: 'hello', text: 'x'.repeat(100) } } })
}
const found = new Promise(resolve => app.on('service', service => service.path === 'echo' && resolve()))
await app.listen(Number(port), '127.0.0.1')
if (role !== 'service') {
  await found
  // The first calls of a younger connection fail.
  await new Promise(resolve => setTimeout(resolve, 1500))
}
if (role === 'call') {
  const echo = app.service('echo')
  await bench(caller => echo.get(String(caller), { query: {} }), callers.split(',').map(Number), Number(seconds))
  process.exit(0)
}
// With --expose-gc: how much memory it has is to say nothing of what starting left behind.
globalThis.gc?.()
console.log(JSON.stringify({ ready: true }))
