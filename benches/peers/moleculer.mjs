// Moleculer 0.14 over Redis pub/sub. Roles: service, call, gateway.
import moleculer from 'moleculer'
import ApiGateway from 'moleculer-web'
import { bench } from './bench.mjs'

const [role, transporter, port] = process.argv.slice(2)
const broker = new moleculer.ServiceBroker({ nodeID: `${role}-${process.pid}`, transporter, logLevel: 'error' })
if (role === 'service') {
  broker.createService({
    name: 'echo',
    actions: { get (ctx) { return { id: ctx.params.id, title: 'hello', text: 'x'.repeat(100) } } }
  })
}
if (role === 'gateway') {
  const routes = [{ path: '/', aliases: { 'GET echo/:id': 'echo.get' } }]
  broker.createService({ mixins: [ApiGateway], settings: { port: Number(port), ip: '127.0.0.1', routes } })
}
await broker.start()
if (role !== 'service') await broker.waitForServices('echo')
if (role === 'call') {
  await bench(i => broker.call('echo.get', { id: String(i) }))
  process.exit(0)
}
console.log(JSON.stringify({ ready: true, address: `127.0.0.1:${port}` }))
