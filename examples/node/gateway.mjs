// A gateway in Node.js: a Feathers application without services of its own, which serves those of the mesh over REST and
// Socket.IO, whatever language they are written in. `PORT` says where, 3030 by default.
import { once } from 'node:events'
import express from '@feathersjs/express'
import { feathers } from '@feathersjs/feathers'
import socketio from '@feathersjs/socketio'
import distribution from '@rachis/feathers'

const app = express(feathers())
app.use(express.json())
app.configure(express.rest())
app.configure(socketio())
app.configure(distribution({
  app: 'gateway',
  // Behind each service that comes: errors of its calls as JSON.
  middlewares: { after: express.errorHandler({ html: false }) }
}))
app.on('connection', (connection) => app.channel('everybody').join(connection))
app.publish(() => app.channel('everybody'))
app.on('service', ({ path }) => console.log(`${path} is served`))

const server = await app.listen(Number(process.env.PORT ?? 3030), process.env.HOST ?? '127.0.0.1')
if (!server.listening) await once(server, 'listening')
console.log(`listening on http://127.0.0.1:${server.address().port}`)
