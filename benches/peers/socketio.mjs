// Calls by the official client of Socket.IO: node socketio.mjs URL feathers|moleculer CALLERS SECONDS
import { io } from 'socket.io-client'
import { bench } from './bench.mjs'

// Shared by the callers, as by the visitors of a page.
const SOCKETS = 8

const [url, protocol, callers, seconds] = process.argv.slice(2)
const words = id => protocol === 'feathers' ? ['get', 'echo', id, {}] : ['call', 'echo.get', { id }]
const sockets = await Promise.all(Array.from({ length: SOCKETS }, connect))
await bench(call, callers.split(',').map(Number), Number(seconds))
process.exit(0)

function connect () {
  const socket = io(url, { transports: ['websocket'], forceNew: true })
  return new Promise((resolve, reject) => socket.on('connect', () => resolve(socket)).on('connect_error', reject))
}

function call (caller) {
  return new Promise((resolve, reject) => {
    const answer = (error, record) => error ? reject(error) : resolve(record)
    sockets[caller % SOCKETS].emit(...words(String(caller)), answer)
  })
}
