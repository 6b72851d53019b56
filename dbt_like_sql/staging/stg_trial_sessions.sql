with earned as (
    select * from trial_sessions
),

renamed as (
    select
        market,
        period,
        trial,
        session as training_session,
        net_pnl,
        contracts
    from earned
)

select * from renamed
