'use strict'
// Whether the remote services have replicas, as feathers-distributed answers it.

const { NotFound, Unavailable } = require('@feathersjs/errors')

class HealthcheckService {
  #state

  constructor(state) {
    this.#state = state
  }

  async find(params) {
    const { app, node, remotes } = this.#state
    const key = params.route?.key || node.key
    if (key !== node.key && !app.serviceRequesters?.[key]) throw new NotFound(`No app registered with key ${key}`)
    const services = remotes.all().filter((service) => key === node.key || service.key === key)
    const health = Object.fromEntries(services.map((service) => [service.path, service.isHealthy()]))
    if (Object.values(health).every(Boolean)) return health
    throw new Unavailable(`Unavailable distributed service(s) for app with key ${key}`, { ...health, errors: [] })
  }
}

module.exports = { HealthcheckService }
