// The official clients, connected to the server under test.
import { feathers } from '@feathersjs/feathers'
import authentication from '@feathersjs/authentication-client'
import rest from '@feathersjs/rest-client'
import socketio from '@feathersjs/socketio-client'
import axios from 'axios'
import { after } from 'node:test'
import { io } from 'socket.io-client'
import superagent from 'superagent'

export const url = process.env.CONFORMANCE_URL ?? 'http://127.0.0.1:3030'

const STANDARD = ['find', 'get', 'create', 'update', 'patch', 'remove']
const CUSTOM = { messages: ['shout', 'announce'], echo: ['inspect'], 'api/v1/echo': ['inspect'], 'orgs/:orgId/echo': ['inspect'] }

// Whatever a file opened is closed when its last check is done, or the process would not end.
const open = new Set()
after(() => open.forEach((socket) => {
  // The authentication client would take this for a broken connection and try to log in again.
  socket.off('disconnect')
  socket.close()
}))

/** A bare Socket.IO connection, before it is established. */
export function dial(options = {}, address = url) {
  const socket = io(address, { forceNew: true, transports: ['websocket'], reconnectionDelay: 50, ...options })
  open.add(socket)
  return socket
}

/** A bare Socket.IO connection that is established. */
export async function socket(options) {
  const dialled = dial(options)
  await new Promise((resolve, reject) => dialled.once('connect', resolve).once('connect_error', reject))
  return dialled
}


const overRest = (configure) => async () => {
  const app = feathers()
  const connection = configure(rest(url))
  app.configure(connection)
  for (const [path, custom] of Object.entries(CUSTOM)) {
    app.use(path, connection.service(path), { methods: [...STANDARD, ...custom] })
  }
  return app.configure(authentication())
}

async function overSocket(options) {
  const dialled = await socket(options)
  const app = feathers()
  const connection = socketio(dialled)
  app.configure(connection)
  for (const [path, custom] of Object.entries(CUSTOM)) {
    app.use(path, connection.service(path), { methods: [...STANDARD, ...custom] })
  }
  app.configure(authentication())
  app.socket = dialled
  return app
}

/** How to connect, by the name of the client library. */
export const clients = {
  fetch: overRest((connection) => connection.fetch(fetch)),
  axios: overRest((connection) => connection.axios(axios.create({ proxy: false }))),
  superagent: overRest((connection) => connection.superagent(superagent)),
  socketio: overSocket
}

/** `provider` as the server shall see it. */
export const provider = (name) => (name === 'socketio' ? 'socketio' : 'rest')
