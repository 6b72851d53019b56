with importances as (
    select * from model_importance
),

renamed as (
    select
        market,
        period,
        model,
        indicator,
        importance as r2_lost,
        low as r2_lost_low,
        high as r2_lost_high
    from importances
)

select * from renamed
