'use strict'
// Whether the remote services have replicas, as feathers-distributed answers it.

const { NotFound, Unavailable } = require('@feathersjs/errors')

class HealthcheckService {
  constructor(state) {
    // Feathers calls an object that is made from this one, which has no private fields.
    this.find = (params) => this.check(state, params)
  }

  async check({ app, node, remotes }, params) {
    const key = params.route?.key || node.key
    if (key !== node.key && !app.serviceRequesters?.[key]) throw new NotFound(`No app registered with key ${key}`)
    const services = remotes.all().filter((service) => key === node.key || service.key === key)
    const health = Object.fromEntries(services.map((service) => [service.path, service.isHealthy()]))
    if (Object.values(health).every(Boolean)) return health
    throw new Unavailable(`Unavailable distributed service(s) for app with key ${key}`, { ...health, errors: [] })
  }
}

module.exports = { HealthcheckService }
