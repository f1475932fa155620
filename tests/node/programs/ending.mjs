// Calls its own mesh, leaves it, and has nothing more to do.
import { feathers } from '@feathersjs/feathers'
import distribution, { initialize, finalize } from '@rachis/feathers'

const { options } = JSON.parse(process.env.SPEC)
const server = feathers().configure(distribution({ ...options, key: 'ending-server' }))
server.use('slow', { get: (id) => new Promise((resolve) => setTimeout(() => resolve({ id }), 300)) })
const client = feathers().configure(distribution({ ...options, key: 'ending-client' }))
const found = new Promise((resolve) => client.on('service', resolve))
await Promise.all([initialize(server), initialize(client)])
await found
process.send({ ready: true })
const { id } = await client.service('slow').get(7)
process.send({ answered: id })
await Promise.all([finalize(client), finalize(server)])
process.disconnect()
