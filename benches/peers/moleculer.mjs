// Moleculer 0.14 over Redis pub/sub.
//   node moleculer.mjs service REDIS
//   node moleculer.mjs call REDIS CALLERS SECONDS
//   node moleculer.mjs gateway REDIS PORT
import moleculer from 'moleculer'
import SocketIO from 'moleculer-io'
import Rest from 'moleculer-web'
import { bench } from './bench.mjs'

const [role, transporter, ...rest] = process.argv.slice(2)
const broker = new moleculer.ServiceBroker({ nodeID: `${role}-${process.pid}`, transporter, logLevel: 'error' })
if (role === 'service') {
  broker.createService({
    name: 'echo',
    actions: { get (ctx) { return { id: ctx.params.id, title: 'hello', text: 'x'.repeat(100) } } }
  })
}
if (role === 'gateway') {
  const routes = [{ path: '/', aliases: { 'GET echo/:id': 'echo.get' } }]
  const settings = { port: Number(rest[0]), ip: '127.0.0.1', routes }
  broker.createService({ name: 'gateway', mixins: [Rest, SocketIO], settings })
}
await broker.start()
if (role !== 'service') await broker.waitForServices('echo')
if (role === 'call') {
  const [callers, seconds] = rest
  await bench(caller => broker.call('echo.get', { id: String(caller) }), callers.split(',').map(Number), Number(seconds))
  process.exit(0)
}
console.log(JSON.stringify({ ready: true }))
